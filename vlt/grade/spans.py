"""Texts that look like a computation but are not: ranges, dates, series of labels, two numbers."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_RANGE = re.compile(
    r"(?:(from|between) )?([¤€£¥]?)(\d[\d,]*(?:\.\d+)?)(%|°| ?[A-Za-z]{2,12}(?:/[a-z]{1,5})?)??"
    r" ?(-{1,2}|~|∼|…|\bto\b|\band\b) ?[¤€£¥]?(\d[\d,]*(?:\.\d+)?)( ?%|°| ?[^\W\d_]{2,12}(?:/[a-z]{1,5})?)?",
    re.I,
)
_TWO = re.compile(
    r".*[\d}%] \((?:-?\d[\d.,]*\).*|[^()A-Za-z]*(?:\\[a-z]+[^()A-Za-z]*)?\)(?: ?/.*)?)", re.S
)  # 12 (13) is not a product
_OLD = re.compile(r"(?<=\w) (?:old|of age|each|in total)$")
SERIES = re.compile(r"(?:\((?:\d|[A-J]|[ivx]+|[IVX]+)\)){2,}")
_DATE = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})|(\d{4})([/.-])(\d{1,2})\6(\d{1,2})")


@lru_cache(maxsize=8192)
def range_of(text: str) -> tuple[str, str, bool] | None:
    """(low, high, written with "to"?) of 40-50, "from 40 to 50" and "between 40 and 50", or None.

    A descending pair ("50-40") is a difference. If the last number has a unit, both get it.
    """
    match = _RANGE.fullmatch(_OLD.sub("", text)) if len(text) <= 80 else None
    if match is None:
        return None
    lead, money, low, unit, sign, high, last = match.groups()
    sign = sign.casefold()
    between = (lead or "").casefold() == "between"
    if (sign == "and") != between or (lead and not between and sign != "to"):
        return None
    a, b = (Fraction(side.replace(",", "")) for side in (low, high))
    if a >= b and sign != "to":
        return None
    unit, last = (unit or last or "").strip(), (last or unit or "").strip()
    return (
        f"{money}{low} {unit}".strip(),
        f"{money}{high} {last}".strip(),
        sign == "to" and not lead,
    )


@lru_cache(maxsize=8192)
def date_of(text: str) -> tuple[int, ...] | None:
    """The numbers of 3/5/2021 and 2021-03-05 in their order, or None."""
    match = _DATE.fullmatch(text)
    return tuple(int(n) for n in match.groups() if n and n.isdigit()) if match else None


def no_number(text: str) -> bool:
    """Whether a text that looks like a computation is a date or a range."""
    if text.endswith(("...", "…")) and "." not in text.rstrip(".…"):
        return True  # 12... goes on
    if " (" in text and _TWO.fullmatch(text):
        return True
    if "\n" in text or (text[0] == "(" and SERIES.fullmatch(text)):
        return True
    return (("-" in text[1:] or "~" in text or "∼" in text) and range_of(text) is not None) or (
        text[-1:].isdigit() and date_of(text) is not None
    )
