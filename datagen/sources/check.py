"""Decides whether a record is a sound item: what is asked can be answered, and judged."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from vlt.datagen.sources.record import MAX_TEXT, BadRow, Record
from vlt.grade import answer_type_of, grade
from vlt.prompts import LETTERS, PLACEHOLDER
from vlt.workspace.schema import ANSWER_TYPES, item_id

_LETTER = re.compile(r"\(?([A-Za-z])\)?[.:]?")
_LETTER_AND_TEXT = re.compile(r"\(?([A-Z])[).:]\s*(.+)", re.S)


def sound_item(record: Record, images: list[str], source: str) -> dict[str, Any]:
    """The row of an item dataset; `images` are the sha256 of the record's images, in order.

    Raises BadRow with the reason.
    """
    placeholders = record.question.count(PLACEHOLDER)
    if not images:
        raise BadRow("no image")
    if placeholders and placeholders != len(images):
        raise BadRow(f"{PLACEHOLDER} stands {placeholders} times for {len(images)} images")
    choices = record.choices
    if choices and not 2 <= len(choices) <= len(LETTERS):
        raise BadRow(f"{len(choices)} choices (2 to {len(LETTERS)} can be asked)")
    answer = gold(record.answer, choices, counted=record.counted)
    answer_type = record.answer_type or answer_type_of(answer, choices or None)
    if answer_type not in ANSWER_TYPES:
        raise BadRow(f"unknown answer type: {answer_type[:80]}")
    verdict = grade(
        f"<answer>{answer}</answer>",
        answer,
        question=record.question,
        choices=choices or None,
        answer_type=answer_type,
    )
    if verdict.verdict != "correct":
        raise BadRow(
            f"answer cannot be judged (against itself it is {verdict.verdict}): {answer[:80]}"
        )
    source = record.source or source
    id = item_id(source, record.question, choices, answer, images)
    meta = {k: v for k, v in record.meta.items() if k != "id" or v != id}  # it was exported by us
    return {
        "id": id,
        "source": source,
        "question": record.question,
        "choices": choices,
        "answer": answer,
        "answer_type": answer_type,
        "images": images,
        "meta": json.dumps(meta, ensure_ascii=True),
    }


def gold(value: Any, choices: list[str], *, counted: bool = False) -> str:
    """The gold answer as text, consistent with the choices.

    A whole number is the place of a choice, from 0, unless the choices are numbers themselves
    (`counted`). Where it could be either and the two differ, the row is dropped rather than guessed.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise BadRow("no answer")
    if isinstance(value, bool):
        value = "yes" if value else "no"
    elif isinstance(value, int):
        value = str(value) if counted or not choices else _letter_at(value, choices)
    elif isinstance(value, float) and math.isinf(value):
        raise BadRow("answer is infinite")
    elif isinstance(value, float):
        value = str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
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
    return _among(text, choices) if choices else text


def _letter_at(index: int, choices: list[str]) -> str:
    if not 0 <= index < len(choices):
        if str(index) in choices:
            return str(index)
        raise BadRow(f"answer is the place of none of the choices: {index} of {len(choices)}")
    if str(index) in choices and choices[index] != str(index):
        raise BadRow(f"answer is the place of one choice and the text of another: {index}")
    return LETTERS[index]


def _among(text: str, choices: list[str]) -> str:
    """The letter or the text of one choice."""
    plain = [choice.casefold() for choice in choices]
    letter = _LETTER.fullmatch(text)
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
    if both and (place := LETTERS.find(both[1])) < len(choices):
        said = both[2].strip().casefold()
        if said == plain[place]:
            return both[1]
    raise BadRow(f"answer is none of the choices: {text[:80]}")


def _same_number(a: str, b: str) -> bool:
    """48 and 48.0."""
    try:
        return float(a) == float(b)
    except ValueError:
        return False
