"""What a recipe leaves open: ${VARIABLES} of the environment, and placeholders to be replaced."""

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
"""${DATA}, or ${DATA:-the default if DATA is not set}."""
_WORD = re.compile(
    r"\b(?:CHANGE[_-]?ME|REPLACE[_-]?ME|FILL[_-]?ME[_-]?IN|FIX[_-]?ME|TO[_-]?DO|YOUR[_-][A-Z_-]+)\b"
)
_BRACKETED = re.compile(r"<[A-Za-z][\w .:-]*>")
_NAMES = ("models", "items", "against")
"""Keys whose values are names, in which angle brackets mark a placeholder."""
_TEXTS = ("prompts", "prompt", "about", "name", "arms")
"""Keys whose values are free text, or are checked on their own."""


def filled_in(tree: Any, say: Say, path: Path_ = ()) -> Any:
    """The recipe with the environment's values; `say(path, message)` reports what is not filled in."""
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
        say(path, f"{key} = {tree!r}: {found[0]!r} is a placeholder; replace it")
        return tree
    for variable in VARIABLE.finditer(tree):
        if variable["name"] not in os.environ and variable["default"] is None:
            say(
                path,
                f"{key} = {tree!r}: the environment has no {variable['name']}; set it, or give a "
                f"default: ${{{variable['name']}:-A DEFAULT}}",
            )
            return tree
    text = VARIABLE.sub(lambda v: os.environ.get(v["name"], v["default"] or ""), tree)
    if VARIABLE.fullmatch(tree):  # a number stays a number
        value = yaml.safe_load(text) if text else text
        return value if isinstance(value, int | float) else text
    return text
