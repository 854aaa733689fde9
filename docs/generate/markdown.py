"""Markdown as the generated pages write it."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

NOTE = "<!-- made from the code by docs/generate; do not edit -->\n\n"
"""At the top of each generated page."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown already, but for line ends and bars."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Text that fits into one cell."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """As code, whatever backquotes it holds."""
    said = str(text)
    return f"`` {said} ``" if "`" in said else f"`{said}`"


def prose(text: str) -> str:
    """A text of the code as Markdown: what Markdown would take for tags and slots is shown as it is.

    Spans between backquotes stay as they are.
    """
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([<>*_{}\[\]|])", r"\\\1", part)
        for part in parts
    )


def type_name(kind: Any) -> str:
    """A type in a reader's words: `int`, `text`, `shortest or first`, `list of text`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_name(arguments[0])
    if origin in (Union, types.UnionType):
        names = [type_name(a) for a in arguments if a is not type(None)]
        return " or ".join(dict.fromkeys(names))
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return "[" + ", ".join(type_name(a) for a in arguments) + "]"
    if origin in (list, tuple) or (origin and origin.__name__ == "Sequence"):
        return f"list of {type_name(arguments[0])}" if arguments else "list"
    if origin and (origin is dict or origin.__name__ == "Mapping"):
        return "mapping"
    plain = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "any"}
    if kind in plain:
        return plain[kind]
    name = getattr(kind, "__name__", str(kind))
    return {"Path": "path", "Callable": "function", "Prompt": "prompt"}.get(name, name)
