"""Command-line options made from the fields of settings objects (see vlt.fields).

    @app.command()
    @derived(model=Model, asking=CAPTIONS)
    def captions(items: Items = None, *, model: Model, asking: Asking, workspace: Workspace = ...): ...

Each field becomes an option: its help is the text under the field, its default comes from the object
given. The command is called with objects built from the options.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Union, get_origin

import typer
from annotated_types import Ge, Gt, Le

from vlt.cli.options import parse_settings
from vlt.errors import UsageError
from vlt.fields import Documented, documented
from vlt.prompts import Prompt, load_prompt

SYSTEM = "The system prompt. [none]"
BY_SOURCE = "Another prompt for the rows of one source: geometry3k=FILE; repeatable."


@dataclass(frozen=True)
class _Part:
    """One object that a command takes."""

    cls: type
    defaults: Any
    """An instance, or None where the class's own defaults apply."""
    fields: tuple[Documented, ...]

    def default(self, f: Documented) -> Any:
        return f.default if self.defaults is None else getattr(self.defaults, f.name)


def derived(*, leave_out: Sequence[str] = (), **objects: Any) -> Callable[..., Any]:
    """Give a command the options of these settings: name -> a class, or an instance with defaults.

    `leave_out` names fields that this command does not offer; they keep their defaults.
    """
    parts = {name: _part(given, leave_out) for name, given in objects.items()}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name not in parts]
        first = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
        rest = [p for p in own if p.kind is not p.POSITIONAL_OR_KEYWORD]
        options = [option for part in parts.values() for option in _options(part)]

        @functools.wraps(command)
        def called(**given: Any) -> Any:
            made = {name: _made(part, given) for name, part in parts.items()}
            return command(**given, **made)

        keyword = inspect.Parameter.KEYWORD_ONLY
        ordered = [p.replace(kind=keyword) for p in [*first, *options, *rest]]
        called.__signature__ = signature.replace(parameters=ordered)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in ordered}
        return called

    return decorate


def _part(given: Any, leave_out: Sequence[str]) -> _Part:
    cls = given if isinstance(given, type) else type(given)
    kept = tuple(f for f in documented(cls) if not f.option.hidden and f.name not in leave_out)
    return _Part(cls, None if given is cls else given, kept)


def _options(part: _Part) -> Iterator[inspect.Parameter]:
    for f in part.fields:
        default = part.default(f)
        if f.type is Prompt:
            system = typer.Option(metavar="TEXT", help=SYSTEM, show_default=False)
            yield _parameter(f.name, Path | None, None, _declared(f, show=False))
            yield _parameter("system", str | None, None, system)
            yield _parameter("by_source", list[str] | None, None, by_source())
            continue
        plain = f.plain
        if plain is bool:
            yield _parameter(f.name, bool, default, _declared(f, f"--{_dashed(f.name)}"))
        elif get_origin(plain) is tuple or get_origin(plain) is Mapping or plain is Mapping:
            yield _parameter(f.name, list[str] | None, None, _declared(f, show=False))
        else:
            missing = default is MISSING
            if get_origin(plain) in (Union, types.UnionType):  # N|auto: the class reads it
                yield _parameter(f.name, str | None, None, _declared(f, show=False))
                continue
            kind = f.type if missing or default is not None else plain | None
            yield _parameter(
                f.name,
                kind,
                inspect.Parameter.empty if missing else default,
                _declared(f, show=not missing and default is not None),
            )


def _declared(f: Documented, *names: str, show: bool = True) -> Any:
    given = (f.option.name,) if f.option.name else names or (f"--{_dashed(f.name)}",)
    low = f.bound(Ge) if f.bound(Ge) is not None else f.bound(Gt)
    numeric = f.plain in (int, float)
    bounds = {"min": low, "max": f.bound(Le)} if numeric else {}
    help = " ".join(f.doc.split())
    return typer.Option(*given, metavar=f.option.metavar, help=help, show_default=show, **bounds)


def _parameter(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=Annotated[kind, option])


def _made(part: _Part, given: dict[str, Any]) -> Any:
    """Build the object from its options, which are popped from `given`."""
    values: dict[str, Any] = {}
    if part.defaults is not None:
        values = {f.name: getattr(part.defaults, f.name) for f in documented(part.cls)}
    for f in part.fields:
        value = given.pop(f.name)
        if f.type is Prompt:
            others = given.pop("by_source")
            values[f.name] = prompt_of(part.default(f), value, given.pop("system"), others)
            continue
        plain = f.plain
        if get_origin(plain) is tuple:
            values[f.name] = tuple(value) if value else part.default(f)
        elif get_origin(plain) is Mapping or plain is Mapping:
            values[f.name] = {
                **part.default(f),
                **parse_settings(value or [], f"--{_dashed(f.name)}"),
            }
        else:
            values[f.name] = value
    return part.cls(**values)


def by_source() -> Any:
    """The option --by-source of every command that takes a prompt."""
    return typer.Option("--by-source", metavar="SOURCE=FILE", help=BY_SOURCE, show_default=False)


def prompt_of(
    default: Prompt,
    file: Path | None,
    system: str | None,
    others: Sequence[str] | None = None,
) -> Prompt:
    """The prompt from a file, or the default, with the system prompt and per-source prompts given."""
    kept = default.system if system is None else system
    prompt = load_prompt(str(file), kept) if file else replace(default, system=kept)
    if not others:
        return prompt
    found = dict(prompt.by_source)
    for given in others:
        source, equals, name = given.partition("=")
        if not (source and equals and name):
            raise UsageError(
                f"--by-source {given!r} is not SOURCE=FILE; write e.g. --by-source geometry3k=ask.txt"
            )
        found[source] = load_prompt(name, kept)
    return replace(prompt, by_source=found)


def _dashed(name: str) -> str:
    return name.replace("_", "-")
