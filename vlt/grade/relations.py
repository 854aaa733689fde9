"""Equations and inequalities: split at the sign, recognise sides that are only a name.

`x = 5` and `5` are the same answer, so the side that is a name can be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from vlt.grade.tokens import LETTER_NAMES

_SIGN = re.compile(r"\\?[<>!:]=|=[<>]|[=<>≤≥≠≈∈∥⊥≅∼]")
_CANONICAL = {
    "<=": "≤", "=<": "≤", ">=": "≥", "=>": "≥", "!=": "≠", ":=": "=",
}  # fmt: skip
_SYMMETRIC = frozenset("=≠≈∥⊥≅∼")
_FLIPPED = {">": "<", "≥": "≤"}
_NAME = re.compile(
    r"(?:the |a )?(?:m ?)?[∠△|]?[^\W\d]{1,20}(?:'|_\{?[\w+-]{1,8}\}?)*\|?"
    r"(?:\((?![^()]*-?\d[^()]*,)[^()=<>]{1,20}\))?(?: [^\W\d]{1,20}){0,3}"
    r"|\\[a-zA-Z]+ ?(?:\{?[A-Za-z]{1,4}\}?)?(?:_\{?\w+\}?)?'?"
    r"|m?∠ ?[A-Z0-9]{1,4}|\([a-zA-Z]\w*(?:, ?[a-zA-Z]\w*)+\)"
    r"|\\(?:sin|cos|tan) ?(?:\\?[A-Za-z]+|\([^()]{1,10}\)|[∠θαβ]+ ?[A-Z]?)"
)
_JOINED = re.compile(r"\b(?:or|and)\b", re.I)
_THOUSANDS = re.compile(r"\d,\d{3}(?!\d)")
_HEDGED_NAME = re.compile(
    r"\b(?:wrong|incorrect|false|is|are|was|when|where|as|else|with|because|since"
    r"|the answer|twice|not|or|and|if|unless|maybe|either|than|no)\b|[或和不非]",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides with the signs between them; > and ≥ are reversed to < and ≤."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]

    @property
    def equation(self) -> bool:
        """Whether all signs are = or ≈."""
        return all(sign in "=≈" for sign in self.signs)

    @property
    def symmetric(self) -> bool:
        """Whether the sides may be swapped."""
        return all(sign in _SYMMETRIC for sign in self.signs)


@lru_cache(maxsize=8192)
def relation_of(text: str) -> Relation | None:
    """The equation or inequality that a cleaned text is, or None."""
    if len(text) > 600:
        return None
    sides, signs = _split(text)
    if not signs:
        return _point(text)
    if len(signs) > 6:
        return None
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


def _split(text: str) -> tuple[list[str], list[str]]:
    """Sides and signs; a sign in brackets, as in P(X > 2), does not separate."""
    sides, signs, at, depth, seen = [], [], 0, 0, 0
    for match in _SIGN.finditer(text):
        for c in text[seen : match.start()]:
            depth += (c in "([{⦃") - (c in ")]}⦄")
        seen = match.start()
        if depth <= 0:
            sides.append(text[at : match.start()].strip())
            signs.append(_CANONICAL.get(match.group(), match.group()))
            at = match.end()
    return [*sides, text[at:].strip()], signs


_POINT = re.compile(
    r"(?:the )?(?:(?:points?|vertex|vector|coordinates?)\b ?)?([A-Z]'?(?:_\{?\d\}?)?)?"
    r" ?(\([^()]*(?:\([^()]*\)[^()]*)*,.*\))",
    re.I,
)


def _point(text: str) -> Relation | None:
    """A(2, -3) and "the point (2, -3)" as an equation of a name and a pair."""
    match = _POINT.fullmatch(text) if text[-1:] == ")" and text[:1] != "(" else None
    if match is None or (match.group(1) and not match.group(1)[0].isupper()):
        return None
    return Relation((match.group(1) or "", match.group(2)), ("=",))


# What an equation may give the value of without computing it.
_UNKNOWN = re.compile(
    r"[CAP]_\{?\w+\}?\^\{?\w+\}?|\\(?:lim|sum|int|prod|oint)(?![A-Za-z]).*"
    r"|(?:\\frac ?\{ ?[A-Z]{1,3}'? ?\} ?\{ ?[A-Z]{1,3}'? ?\}|[A-Z]{2,3} ?/ ?[A-Z]{2,3})"
    r"|(?:[A-Z]{1,3}|[A-Za-z]_\{?\w+\}?)(?: ?: ?(?:[A-Z]{1,3}|[A-Za-z]_\{?\w+\}?))+"
    r"|[A-Z][a-z]{0,2}(?:_\{?\w{1,8}\}?)? ?\([^=]{1,40}\)|[A-Z]_\{?[△∠\w ]{1,16}\}?"
    r"|\\?(?:sin|cos|tan|cot|sec|csc) ?(?:\(? ?[∠△] ?[A-Z0-9]{1,4} ?\)?|\(? ?[A-Z]{1,3} ?\)?)",
    re.S,
)


def is_unknown(side: str) -> bool:
    """Whether a side is a quantity that cannot be computed: AB/CD, P(X > 2), a limit, cos ∠ABC."""
    return len(side) <= 200 and _UNKNOWN.fullmatch(side) is not None


def _several(side: str) -> bool:
    """Whether a side has more than one answer: a comma outside brackets, "or", "and"."""
    if "," in side or ";" in side:
        depth = 0
        for c in side:
            depth += (c in "([{⦃") - (c in ")]}⦄")
            if c in ",;" and depth <= 0 and not _THOUSANDS.search(side):
                return True
    return _JOINED.search(side) is not None


def is_name(side: str) -> bool:
    """Whether a side is only a name (x, AB, f(x), the area A, m∠ABC), not a computation."""
    return side == "" or (
        len(side) <= 60 and _NAME.fullmatch(side) is not None and not _HEDGED_NAME.search(side)
    )


def same_name(a: str, b: str) -> bool:
    """Whether two names are equal except for LaTeX's braces, backslashes and spaces."""
    return not a or not b or bare_name(a) == bare_name(b)


def bare_name(name: str) -> str:
    """A name without LaTeX's braces, backslashes and spaces."""
    name = re.sub(r"[\s\\{}|]", "", name)
    return name if name.isascii() else "".join(LETTER_NAMES.get(c, c) for c in name)


def assignment(relation: Relation) -> tuple[str, str] | None:
    """(name, value) of `x = 5`, `5 = x` and `x = 2 + 3 = 5`."""
    if not relation.equation:
        return None
    first, last = relation.sides[0], relation.sides[-1]
    if is_name(first) or is_unknown(first):
        return first, last
    if is_name(last) and len(relation.sides) == 2 and not is_name(first):
        return last, first
    return None
