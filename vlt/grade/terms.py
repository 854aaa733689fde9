"""Quantities with several terms (5 ft 3 in, 5 cm + 7 cm), and whether a text is maths at all."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from vlt.grade.quantity import Quantity, quantity_of
from vlt.grade.tokens import GREEK
from vlt.grade.units import DEGREE, unit_of

_TERM_UNIT = re.compile(
    r"(?<=\d) ?([^\W\d_]{2,20}(?:\^\{?\d\}?)?(?:/[^\W\d_]{2,20})?)|(?<=\d) ([mgshLNJWVAK]\b(?:\^\{?\d\}?)?)"
)


def computed(text: str) -> Quantity | None:
    """The value of a sum or product whose terms have units: 5 cm + 7 cm, $0.61 + $0.29."""
    if len(text) > 200:
        return None
    bare = re.sub(r"[¤€£¥₹%°]", "", _TERM_UNIT.sub("", text))
    return quantity_of(bare) if bare != text and re.search(r"\d ?[-+*/] ?\d", bare) else None


_PART = re.compile(r"(?:,|\band\b|,? and\b)?\s*(\d+(?:\.\d+)?) ?([A-Za-z'\"°]+\.?)\s*")
_ARC = {name: frozenset({("min", 1)}) for name in "' minute minutes min".split()} | {
    name: frozenset({("s", 1)}) for name in "'' \" second seconds sec s".split()
}  # minutes and seconds of arc, after degrees


@lru_cache(maxsize=8192)
def compound_of(text: str) -> tuple[Quantity, ...] | None:
    """The parts of "5 ft 3 in" or "2 hours and 30 minutes", or None for fewer than two."""
    if len(text) > 100:
        return None
    parts: list[Quantity] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        unit = unit_of(match.group(2)) if match else None
        if match is None or unit is None:
            return None
        if parts and parts[0].unit == DEGREE:
            unit = _ARC.get(match.group(2), unit)
        parts.append(Quantity(Fraction(match.group(1)), None, None, False, unit))
        at = match.end()
    return tuple(parts) if len(parts) > 1 and len({part.unit for part in parts}) > 1 else None


_MATHS = re.compile(
    r"[\d\\^π∞√]|^[A-Za-z]$|[A-Za-z] ?[-+*/|] ?[A-Za-z]|\||^[-+]?(?:pi|inf|infinity)$"
    r"|\b(?:sin|cos|tan|log|ln|exp|floor|ceil|gcd|lcm|max|min|abs|mod)\b[ (]"
)


def is_maths(text: str, number: Quantity) -> bool:
    """Whether a text is compared as a number or formula rather than as plain text."""
    return number.value is not None or text in GREEK or bool(_MATHS.search(text))


def all_maths(items: tuple[str, ...]) -> bool:
    """Whether every part of a collection is a number or formula."""
    numbers = [quantity_of(item) for item in items]
    return all(n is not None and is_maths(text, n) for text, n in zip(items, numbers, strict=True))
