"""The gold answer as text, consistent with the choices; what is ambiguous is not guessed.

With choices, an integer may be the index of one (from 0 or from 1) or the text of one. A single row does
not always show which, but the column does: see `how_counted`.
"""

from __future__ import annotations

import datetime
import math
import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import Any

from vlt.datagen.sources.row import MAX_TEXT, BadRow, number_text
from vlt.prompts import LETTERS

_LETTER = re.compile(
    r"(?:(?:option|choice|answer)\s{0,3}:?\s{0,3})?[(\[（]?([A-Za-z])[)\]）]?[.:：、]?", re.I
)
_LETTER_AND_TEXT = re.compile(r"[(\[（]?([A-Za-z])(?:[)\]）][.:]?|[.:：．、])\s*(.+)", re.S)
ENOUGH = 5
"""Minimum rows with integers, all of which must fit, before they are taken as indices from 1."""


class Counted(StrEnum):
    """What an integer gold with choices means, in a source's column."""

    unknown = "unknown"
    """The index of a choice from 0, unless it is also another's text: then the row fails."""
    from_0 = "from 0"
    from_1 = "from 1"
    texts = "texts"
    """The text of a choice, not an index."""


def gold(
    value: Any,
    choices: list[str],
    *,
    counted: bool = False,
    places: Counted = Counted.unknown,
) -> str:
    """The gold answer as text. Raises BadRow with the reason if there is none.

    `counted`: the choices are numbers themselves, so that a number is one of them; `places`: the meaning
    of an integer in this source.
    """
    value = _one_of(value)
    if value is None or (isinstance(value, float | Decimal) and math.isnan(value)):
        raise BadRow("no answer")
    if isinstance(value, bool):
        value = _yes_or_no(value, choices)
    elif isinstance(value, int):
        value = str(value) if counted or not choices else _letter_at(value, choices, places)
    elif isinstance(value, float | Decimal):
        if math.isinf(value):
            raise BadRow("answer is infinite")
        value = number_text(value)
    elif isinstance(value, datetime.date | datetime.time):
        value = str(value)
    elif not isinstance(value, str):
        raise BadRow(f"answer is not text: {type(value).__name__}")
    text = value.strip()
    if not text:
        raise BadRow("answer is empty")
    if len(text) > MAX_TEXT // 10:
        raise BadRow(f"answer is too long ({len(text):,} characters)")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRow("answer is not valid Unicode") from None
    return _among(text, choices, places) if choices else text


def has_gold(value: Any) -> bool:
    """Whether there is an answer at all, of any type."""
    value = _one_of(value)
    if isinstance(value, float | Decimal) and math.isnan(value):
        return False
    return value is not None and not (isinstance(value, str) and not value.strip())


def how_counted(rows: Iterable[tuple[Any, list[str]]]) -> Counted:
    """What integers mean in a column, from pairs of gold and choices: the reading that fits all of them."""
    seen = typed = 0
    fits = dict.fromkeys((Counted.from_0, Counted.from_1, Counted.texts), True)
    for value, choices in rows:
        number = whole(value)
        if number is None or not choices:
            continue
        seen += 1
        typed += not isinstance(value, str)
        fits[Counted.from_0] &= 0 <= number < len(choices)
        fits[Counted.from_1] &= 1 <= number <= len(choices)
        fits[Counted.texts] &= any(_same_number(one, str(number)) for one in choices)
    if typed and fits[Counted.texts] and not fits[Counted.from_0] and not fits[Counted.from_1]:
        return Counted.texts
    if seen and fits[Counted.from_0] and not fits[Counted.texts]:
        return Counted.from_0
    one = fits[Counted.from_1] and not fits[Counted.from_0] and not fits[Counted.texts]
    return Counted.from_1 if one and seen >= ENOUGH else Counted.unknown


def whole(value: Any) -> int | None:
    """A gold as an integer, if it is one, also as text (from CSV)."""
    value = _one_of(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,3}\s*", value):
        return int(value)
    return value if isinstance(value, int) else None


def is_letter(text: str) -> bool:
    """Whether a gold is the letter of an option and nothing else."""
    return re.fullmatch(r"\(?[A-H]\)?\.?", text) is not None


def _one_of(value: Any) -> Any:
    """The single value of a list of identical golds; other values unchanged."""
    if isinstance(value, list | tuple) and value and all(v == value[0] for v in value):
        return value[0]
    return value


def _yes_or_no(value: bool, choices: list[str]) -> str:
    words = ("yes", "true") if value else ("no", "false")
    among = [choice for choice in choices if choice.casefold() in words]
    return among[0] if among else words[0]


def _letter_at(index: int, choices: list[str], places: Counted) -> str:
    if places is Counted.texts:
        if str(index) not in choices:
            raise BadRow(f"answer is the text of none of the choices: {index}")
        return str(index)
    if places is Counted.from_1:
        index -= 1
    if not 0 <= index < len(choices):
        if str(index) in choices and places is not Counted.from_1:
            return str(index)
        raise BadRow(f"answer is the place of none of the choices: {index} of {len(choices)}")
    if places is Counted.unknown and str(index) in choices and choices[index] != str(index):
        raise BadRow(f"answer is the place of one choice and the text of another: {index}")
    return LETTERS[index]


def _among(text: str, choices: list[str], places: Counted) -> str:
    """The letter or the text of one choice."""
    plain = [choice.casefold() for choice in choices]
    letter = _LETTER.fullmatch(unicodedata.normalize("NFKC", text) if len(text) < 4 else text)
    at = LETTERS.find(letter[1].upper()) if letter else -1
    if text.casefold() in plain:
        place = plain.index(text.casefold())
        if 0 <= at < len(choices) and at != place and len(text) == 1:
            raise BadRow(f"answer is the letter of one choice and the text of another: {text}")
        if plain.count(text.casefold()) > 1:
            raise BadRow(f"answer is the text of several choices: {text[:80]}")
        return text
    if 0 <= at < len(choices):
        return LETTERS[at]
    same = [place for place, choice in enumerate(choices) if _same_number(choice, text)]
    if len(same) == 1:
        return choices[same[0]]
    both = _LETTER_AND_TEXT.fullmatch(text)
    if both and (place := LETTERS.find(both[1].upper())) < len(choices):
        said = both[2].strip().casefold()
        if said == plain[place]:
            return both[1].upper()
    number = whole(text)
    if number is not None and places in (Counted.from_0, Counted.from_1):
        return _letter_at(number, choices, places)
    raise BadRow(f"answer is none of the choices: {text[:80]}")


def _same_number(a: str, b: str) -> bool:
    """Whether both are the same number, such as 48 and 48.0."""
    try:
        return float(a) == float(b)
    except ValueError:
        return False
