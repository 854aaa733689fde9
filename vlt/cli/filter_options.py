"""The options of `vlt filter`: one for each registered filter, made from its fields (see vlt.fields).

`--its-name` runs it with its defaults; if its first field names that option, the option takes the
field's value. Further fields that name options are settings of the filter (--cap with --select).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Annotated, Any, get_origin

import typer
from annotated_types import Ge, Gt, Le

from vlt.cli.lazy import CHOSEN
from vlt.cli.options import number
from vlt.errors import UsageError
from vlt.fields import Documented, documented
from vlt.filters.registry import FILTERS


@dataclass
class _Given:
    """One option."""

    option: str
    kind: Any
    info: Any
    help: str
    wants: list[tuple[str, Documented]] = field(default_factory=list)
    """The filters' fields that take the option's value, as (filter, field); none for a flag."""


def with_filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command the filters' options, after its argument.

    The chosen filters are in its `context.meta[CHOSEN]`: parameter name -> entry of a chain.
    """
    runs, settings = _options()
    signature = inspect.signature(command, eval_str=True)
    context, argument, *others = [
        own.replace(kind=inspect.Parameter.KEYWORD_ONLY) for own in signature.parameters.values()
    ]
    options = [_parameter(name, each) for name, each in {**runs, **settings}.items()]
    parameters = [context, argument, *options, *others]

    @functools.wraps(command)
    def called(**given: Any) -> Any:
        values = {name: given.pop(name) for name in [*runs, *settings]}
        given[context.name].meta[CHOSEN] = _chosen(runs, settings, values)
        return command(**given)

    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    return called


def with_settings(kind: Any, options: Mapping[str, str]) -> Callable[..., Any]:
    """Give a command the fields of one filter as options, after its argument: field -> option.

    Those given are in its `context.meta[CHOSEN]`, as a recipe would write them.
    """
    known = {f.name: f for f in documented(kind) if f.name in options}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command, eval_str=True)
        context, argument, *others = [
            own.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for own in signature.parameters.values()
        ]
        made = [_setting(f, options[name]) for name, f in known.items()]
        parameters = [context, argument, *made, *others]

        @functools.wraps(command)
        def called(**given: Any) -> Any:
            values = {name: given.pop(name) for name in known}
            given[context.name].meta[CHOSEN] = {
                name: value for name, value in values.items() if value is not None
            }
            return command(**given)

        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return decorate


def _setting(f: Documented, option: str) -> inspect.Parameter:
    plain = f.plain
    kind: Any = plain if plain in (int, float) else str
    default = "" if f.default in ((), "", MISSING) else f" [{f.default}]"
    help = " ".join(f.doc.split()).removesuffix(".") + default
    info = typer.Option(option, metavar=f.option.metavar, help=help, show_default=False)
    return _parameter(f.name, _Given(option, kind | None, info, help))


def _options() -> tuple[dict[str, _Given], dict[str, _Given]]:
    runs: dict[str, _Given] = {}
    settings: dict[str, _Given] = {}
    for name, kind in FILTERS.items():
        own = f"--{name.replace('_', '-')}"
        fields = [f for f in documented(kind) if f.option.name]
        help = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
        first = fields[0] if fields and fields[0].option.name == own else None
        if first:
            runs[f"filter_{name}"] = _given(first, [(name, first)])
        else:
            option = getattr(kind, "option", own)
            info = typer.Option(option, help=help, show_default=False)
            runs[f"filter_{name}"] = _Given(option, bool, info, help)
        for each in fields:
            if each is not first:
                key = f"setting_{each.option.name.strip('-').replace('-', '_')}"
                settings.setdefault(key, _given(each, [])).wants.append((name, each))
    return runs, settings


def _given(f: Documented, wants: list[tuple[str, Documented]]) -> _Given:
    plain = f.plain
    kind: Any = plain if plain in (int, float) else str
    if get_origin(plain) is Mapping:
        kind = list[str]
    low = f.bound(Ge) if f.bound(Ge) is not None else f.bound(Gt)
    bounds = {"min": low, "max": f.bound(Le)} if plain in (int, float) else {}
    help = " ".join(f.doc.split())
    info = typer.Option(
        f.option.name, metavar=f.option.metavar, help=help, show_default=False, **bounds
    )
    return _Given(f.option.name, kind | None, info, help, wants)


def _parameter(name: str, given: _Given) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if given.kind is bool else None,
        annotation=Annotated[given.kind, given.info],
    )


def _chosen(
    runs: Mapping[str, _Given], settings: Mapping[str, _Given], values: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, given in runs.items():
        value = values[name]
        if value is None or value is False or value == []:
            continue
        entry: dict[str, Any] = {"filter": name.removeprefix("filter_")}
        for _, f in given.wants:
            entry[f.name] = _value(f, value)
        found[name] = entry
    for name, given in settings.items():
        if values[name] is None:
            continue
        users = [(f"filter_{filter}", f) for filter, f in given.wants]
        for filter, f in users:
            if filter in found:
                found[filter][f.name] = _value(f, values[name])
        if not any(filter in found for filter, _ in users):
            takers = " or ".join(runs[filter].option for filter, _ in users)
            raise UsageError(f"{given.option} is a setting of {takers}; give that as well")
    return found


def _value(f: Documented, value: Any) -> Any:
    """As a recipe would write it."""
    if get_origin(f.plain) is not Mapping:
        return value
    parsed = {}
    for entry in value:
        key, equals, text = entry.rpartition("=")
        if not equals or not key or not text.isdigit():
            example = f"{f.option.name} clevr=1000"
            raise UsageError(
                f"{f.option.name} {entry!r} is not {f.option.metavar}; write e.g. {example}"
            )
        parsed[key] = int(text)
    return parsed


def own_entry(text: str) -> dict[str, Any]:
    """The chain entry for --filter NAME, NAME=value, NAME=key=value,... or NAME={"key": value}."""
    import yaml

    name, equals, rest = text.partition("=")
    if not equals:
        return {"filter": name}
    try:
        if rest.lstrip().startswith("{") or "=" not in rest:
            value = yaml.safe_load(rest)
        else:
            pairs = [part.partition("=") for part in rest.split(",")]
            value = {key.strip(): number(yaml.safe_load(text)) for key, _, text in pairs}
    except yaml.YAMLError:
        raise UsageError(
            f"--filter {text!r} has settings that cannot be parsed; write {name}=key=value or "
            f"{name}='{{\"key\": value}}'"
        ) from None
    return {"filter": name, **value} if isinstance(value, dict) else {name: value}
