"""The command line: every command with its arguments and options, from the Typer app."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer.main

from docs.generate.markdown import NOTE, code, prose, table
from vlt.cli.groups import GROUPS
from vlt.cli.main import app


def commands(group: Any = None, before: str = "vlt") -> Iterator[tuple[str, Any]]:
    """("vlt gen captions", the command) for each that does something, in the order of use."""
    group = group or typer.main.get_command(app)
    order = [name for names in GROUPS.values() for name in names]
    ranked = sorted(
        group.commands, key=lambda name: order.index(name) if name in order else len(order)
    )
    for name in ranked if before == "vlt" else group.commands:
        command = group.commands[name]
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


def page() -> str:
    """The whole reference."""
    whole = typer.main.get_command(app)
    text = f"{NOTE}# Command line\n\n{prose(whole.help or '')}\n\n"
    text += (
        "Results go to stdout, progress and messages to stderr; `--json` prints one JSON object. The "
        "exit code is 0 when all is done, 1 on failure, 2 on wrong usage, 3 when some rows failed, and "
        "130 after an interrupt. An error is one sentence; `--debug` adds the traceback.\n\n"
    )
    text += "## Options of every command\n\n" + _options(whole)
    for path, command in commands():
        text += f"\n## {path}\n\n{_help(command)}\n"
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        if arguments:
            rows = [(code(metavar(p)), prose(p.help or "")) for p in arguments]
            text += "\n" + table(("argument", ""), rows)
        text += "\n" + _options(command)
    return text


def _help(command: Any) -> str:
    paragraphs = (command.help or "").split("\n\n")
    return "\n\n".join(prose(" ".join(p.split())) for p in paragraphs)


def metavar(parameter: Any) -> str:
    """How an argument is written."""
    return str(parameter.metavar or parameter.name.upper()).strip("[]{}")


def _options(command: Any) -> str:
    rows = []
    for option in command.params:
        if option.param_type_name != "option" or option.name == "help" or option.hidden:
            continue
        names = " ".join(code(n) for n in (*option.opts, *option.secondary_opts))
        rows.append((names, code(_value(option)) if _value(option) else "", _text(option)))
    return table(("option", "value", ""), rows)


def _value(option: Any) -> str:
    if option.is_flag:
        return ""
    if option.metavar:
        return str(option.metavar)
    kind: Any = option.type_descriptor.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(k for k in get_args(kind) if k is not type(None))
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    kind = next(iter(get_args(kind)), kind)  # of a list
    return {int: "N", float: "NUMBER", Path: "PATH"}.get(kind, "TEXT")


def _text(option: Any) -> str:
    said = prose(option.help or "")
    default = option.default
    shown = getattr(option, "show_default", True)
    if option.required:
        said += " *Required.*"
    elif shown and not callable(default) and (default or default == 0) and default is not False:
        said += f" Default: {code(getattr(default, 'value', default))}."
    environment = getattr(option, "envvar", None)
    return said + (f" Environment: {code(environment)}." if environment else "")
