"""Equations and inequalities: split at the sign, know what is only a name.

`x = 5` and `5` are the same answer, so the side that is a name can be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from vlt.grade.tokens import LETTER_NAMES

_SIGN = re.compile(r"\\?[<>!:]=|=[<>]|[=<>≤≥≠≈∈]")
_CANONICAL = {
    "<=": "≤", "=<": "≤", ">=": "≥", "=>": "≥", "!=": "≠", ":=": "=", "≈": "=",
}  # fmt: skip
_FLIPPED = {">": "<", "≥": "≤"}
_NAME = re.compile(
    r"(?:the |a )?(?:m ?)?[∠△|]?[^\W\d]{1,20}(?:'|_\{?[\w+-]{1,8}\}?)*\|?"
    r"(?:\([^()=<>]{1,20}\))?(?: [^\W\d]{1,20}){0,3}"
    r"|\\[a-zA-Z]+ ?(?:\{?[A-Za-z]{1,4}\}?)?(?:_\{?\w+\}?)?'?"
    r"|m?∠ ?[A-Z0-9]{1,4}|\([a-zA-Z]\w*(?:, ?[a-zA-Z]\w*)+\)"
    r"|\\(?:sin|cos|tan) ?(?:\\?[A-Za-z]+|\([^()]{1,10}\)|[∠θαβ]+ ?[A-Z]?)"
)
_JOINED = re.compile(r"\b(?:or|and)\b", re.I)
_THOUSANDS = re.compile(r"\d,\d{3}(?!\d)")
_HEDGED_NAME = re.compile(r"\b(?:not|or|and|if|unless|maybe|either|than|no)\b", re.I)


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides with the signs between them; > and ≥ are turned round to < and ≤."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]

    @property
    def equation(self) -> bool:
        """All signs are =."""
        return all(sign == "=" for sign in self.signs)


@lru_cache(maxsize=8192)
def relation_of(text: str) -> Relation | None:
    """The equation or inequality that a cleaned text is, or None."""
    if len(text) > 600:
        return None
    signs = [_CANONICAL.get(sign, sign) for sign in _SIGN.findall(text)]
    if not signs or len(signs) > 6:
        return None
    sides = [side.strip() for side in _SIGN.split(text)]
    if not sides[-1] or any(_several(side) for side in sides):
        return None
    if not sides[0]:
        if signs[0] != "=" or len(signs) > 1:
            return Relation(tuple(sides), tuple(signs))
        return Relation(("", sides[1]), ("=",))
    if all(sign in _FLIPPED for sign in signs):
        sides.reverse()
        signs = [_FLIPPED[sign] for sign in reversed(signs)]
    return Relation(tuple(sides), tuple(signs))


def _several(side: str) -> bool:
    """Whether a side holds more than one answer: a comma outside brackets, "or", "and"."""
    if "," in side or ";" in side:
        depth = 0
        for c in side:
            depth += (c in "([{⦃") - (c in ")]}⦄")
            if c in ",;" and depth <= 0 and not _THOUSANDS.search(side):
                return True
    return _JOINED.search(side) is not None


def is_name(side: str) -> bool:
    """Whether a side is only a name (x, AB, f(x), the area A, m∠ABC), nothing computed."""
    return side == "" or (
        len(side) <= 60 and _NAME.fullmatch(side) is not None and not _HEDGED_NAME.search(side)
    )


def same_name(a: str, b: str) -> bool:
    """Names equal but for LaTeX's braces, backslashes and spaces."""
    return not a or not b or _bare(a) == _bare(b)


def _bare(name: str) -> str:
    name = re.sub(r"[\s\\{}|]", "", name)
    return name if name.isascii() else "".join(LETTER_NAMES.get(c, c) for c in name)


def assignment(relation: Relation) -> tuple[str, str] | None:
    """(name, value) of `x = 5`, `5 = x` and `x = 2 + 3 = 5`."""
    if not relation.equation:
        return None
    first, last = relation.sides[0], relation.sides[-1]
    if is_name(first):
        return first, last
    if is_name(last) and len(relation.sides) == 2 and not is_name(first):
        return last, first
    return None
