"""Times of day."""

from __future__ import annotations

import re
from typing import NamedTuple

_TIME = re.compile(
    r"(?:at )?(\d{1,2})(?:[:.](\d{2}))?(?::(\d{2}))?(?: ?h)?"
    r"(?: ?(?:([ap])\.? ?m\b\.?|(noon|midnight)|(o'?clock)))?"
    r"(?: ?(?:in the )?(morning|afternoon|evening|night))?\.?",
    re.I,
)
_HOURS = {
    w: i
    for i, w in enumerate(
        "one two three four five six seven eight nine ten eleven twelve".split(), 1
    )
}
_WORDS = re.compile(r"(?:(half|quarter) (past|to) )?([a-z]+|\d{1,2})(?: o'?clock)?", re.I)


class Time(NamedTuple):
    """A time of day as written."""

    hour: int
    minute: int
    second: int
    half: str
    """a, p, or empty if not given."""


def time_of(text: str) -> Time | None:
    """The time of a cleaned text, or None; a bare number is not a time."""
    lowered = text.casefold()
    if lowered in ("noon", "midnight"):
        return Time(12, 0, 0, "p" if lowered == "noon" else "a")
    match = _TIME.fullmatch(text)
    if match is None:
        return _spoken(lowered)
    hour, minute, second, half, named, clock, part = match.groups()
    if minute is None and not (half or named or clock):
        return None
    if minute is not None and text[match.end(1)] == "." and not half:
        return None
    if int(hour) > 24 or int(minute or 0) > 59 or int(second or 0) > 59:
        return None
    if half and (int(hour) > 12 or int(hour) == 0):
        return None
    said = (half or "").casefold()
    if named:
        said = "p" if named.casefold() == "noon" else "a"
    elif part and not said:
        said = "a" if part.casefold() == "morning" else "p"
    return Time(int(hour), int(minute or 0), int(second or 0), said)


def _spoken(text: str) -> Time | None:
    """half past three, quarter to four, three o'clock."""
    match = _WORDS.fullmatch(text)
    if match is None or not (match.group(1) or "clock" in text):
        return None
    part, way, word = match.groups()
    hour = int(word) if word.isdigit() else _HOURS.get(word, 0)
    if not 1 <= hour <= 24:
        return None
    minute = 0 if not part else 30 if part == "half" else 15
    if way == "to":
        hour, minute = (hour - 2) % 12 + 1, 60 - minute
    return Time(hour, minute, 0, "")


def same_time(got: Time, gold: Time, *, clock_24h: bool = False) -> bool:
    """Whether they are equal, or would be with a.m. or p.m. added to one; 15:30 is 3:30 PM by option."""
    if got[1:3] != gold[1:3]:
        return False
    if got.half and gold.half:
        return got.half == gold.half and got.hour == gold.hour
    if got.hour == gold.hour:
        return True
    return clock_24h and _hours(got) == _hours(gold)


def _hours(time: Time) -> int:
    if not time.half:
        return time.hour % 24
    return time.hour % 12 + (12 if time.half == "p" else 0)
