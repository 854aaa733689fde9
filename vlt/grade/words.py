"""Texts compared as they are written: formulas without spaces, plurals."""

from __future__ import annotations

import re

from vlt.grade.clean import fold
from vlt.grade.nouns import singular

_SUBSCRIPT = re.compile(r"(?<=[A-Za-z)])_(?:\{(\d+)\}|(\d))")
_ONE_CHARACTER = re.compile(r"(?<=[\^_])\{(\w)\}")


def compact(text: str) -> str:
    """The text without spaces, braces and subscript marks, to compare formulas as text."""
    text = _ONE_CHARACTER.sub(r"\1", _SUBSCRIPT.sub(r"\1\2", text))
    return "".join(text.split()).rstrip(".")


def same_plural(a: str, b: str) -> bool:
    """Whether texts are equal except for plural endings (an option)."""
    one, other = ([singular(word) for word in fold(text).split()] for text in (a, b))
    return one == other
