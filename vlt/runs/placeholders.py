"""What a recipe leaves to its reader: ${VARIABLES} of the environment, and words that stand for others."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import yaml

from vlt.runs.lines import Lined, LinedList, lines_of

Path_ = tuple[Any, ...]
Say = Callable[[Path_, str], None]

VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_][A-Z0-9_]*)(?::-(?P<default>[^}]*))?\}")
"""${DATA}, or ${DATA:-what stands there where DATA is not set}."""
_WORD = re.compile(
    r"\b(?:CHANGE[_-]?ME|REPLACE[_-]?ME|FILL[_-]?ME[_-]?IN|FIX[_-]?ME|TO[_-]?DO|YOUR[_-][A-Z_-]+)\b"
)
_BRACKETED = re.compile(r"<[A-Za-z][\w .:-]*>")
_NAMES = ("models", "items", "against")
"""Below these keys stand names, and none has angle brackets."""
_TEXTS = ("prompts", "prompt", "about", "name", "arms")
"""Below these keys stand words for models and people, or what is looked at by itself."""


def filled_in(tree: Any, say: Say, path: Path_ = ()) -> Any:
    """The recipe with the environment's values; `say` is told of what nobody has filled in, and where."""
    if isinstance(tree, dict):
        made = {
            key: value if key in _TEXTS else filled_in(value, say, (*path, key))
            for key, value in tree.items()
        }
        return Lined(made, lines_of(tree))
    if isinstance(tree, list):
        entries = LinedList(filled_in(value, say, (*path, i)) for i, value in enumerate(tree))
        entries.lines = tree.lines if isinstance(tree, LinedList) else ()
        return entries
    if not isinstance(tree, str):
        return tree
    found = _WORD.search(tree) or (_BRACKETED.search(tree) if {*_NAMES} & {*path} else None)
    key = ".".join(map(str, path))
    if found:
        say(path, f"{key} = {tree!r}: {found[0]!r} stands for something; write what it is")
        return tree
    for variable in VARIABLE.finditer(tree):
        if variable["name"] not in os.environ and variable["default"] is None:
            say(
                path,
                f"{key} = {tree!r}: the environment has no {variable['name']}; set it, or write "
                f"${{{variable['name']}:-A DEFAULT}}",
            )
            return tree
    text = VARIABLE.sub(lambda v: os.environ.get(v["name"], v["default"] or ""), tree)
    if VARIABLE.fullmatch(tree):  # a number stays one
        value = yaml.safe_load(text) if text else text
        return value if isinstance(value, int | float) else text
    return text
