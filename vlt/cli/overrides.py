"""Options that change some fields of a settings object and leave the others as a recipe has them.

Unlike in vlt.cli.derived, whose commands build the whole object, an option not given is None here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from annotated_types import Ge, Le

from vlt.cli.derived import SYSTEM, by_source, prompt_of
from vlt.cli.options import parse_settings
from vlt.errors import UsageError
from vlt.fields import Documented, documented
from vlt.prompts import Prompt


def options(cls: type) -> list[inspect.Parameter]:
    """One option for each field of a settings class; the help is the text under the field."""
    found = []
    for f in _fields(cls):
        found.append(_option(f))
        if f.plain is Prompt:
            found.append(parameter("system", str | None, typer.Option(metavar="TEXT", help=SYSTEM)))
            found.append(parameter("by_source", list[str] | None, by_source()))
    return found


def changes(cls: type, base: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `base` that the given options change, with their new values.

    A mapping's keys are set one by one and its other keys stay; anything else is replaced.
    """
    found: dict[str, Any] = {}
    for f in _fields(cls):
        value, kind = given[f.name], f.plain
        if kind is Prompt:
            others = given["by_source"]
            if value is not None or given["system"] is not None or others:
                default = getattr(base, f.name) or Prompt("")
                found[f.name] = prompt_of(default, value, given["system"], others)
        elif value is None or value == []:
            continue
        elif get_origin(kind) is dict:
            found[f.name] = {**getattr(base, f.name), **parse_settings(value, _named(f))}
        elif get_origin(kind) is tuple:
            found[f.name] = _range(_named(f), value)
        elif get_origin(kind) is Literal and value not in get_args(kind):
            words = ", ".join(get_args(kind))
            raise UsageError(f"{_named(f)} {value!r} is not one of {words}")
        else:
            found[f.name] = value
    return found


def parameter(name: str, kind: Any, option: Any, default: Any = None) -> inspect.Parameter:
    """A keyword parameter of a command."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=Annotated[kind, option])


def _fields(cls: type) -> list[Documented]:
    return [f for f in documented(cls) if not f.option.hidden]


def _option(f: Documented) -> inspect.Parameter:
    kind = f.plain
    more: dict[str, Any] = {"metavar": f.option.metavar, "help": _help(f)}
    taken: Any = kind
    if kind is Prompt:
        taken = Path
    elif get_origin(kind) in (dict, list):
        taken = list[str]
        more["help"] += "; repeatable."
    elif get_origin(kind) is tuple:
        taken = str
    elif get_origin(kind) is Literal:
        taken, more["metavar"] = str, f"[{'|'.join(get_args(kind))}]"
    elif kind in (int, float):
        more |= {"min": f.bound(Ge), "max": f.bound(Le)}
    return parameter(f.name, taken | None, typer.Option(_named(f), **more))


def _named(f: Documented) -> str:
    return f.option.name or f"--{f.name.replace('_', '-')}"


def _help(f: Documented) -> str:
    text = " ".join(f.doc.split())
    if get_origin(f.plain) in (dict, list):
        return text.removesuffix(".")
    scalar = isinstance(f.default, int | float | str) and not isinstance(f.default, bool)
    return f"{text} [{f.default}]" if scalar else text


def _range(option: str, text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        if colon:
            return float(low), float(high)
    except ValueError:
        pass
    raise UsageError(f"{option} {text!r} is not LOW:HIGH, e.g. 0.2:0.8")
