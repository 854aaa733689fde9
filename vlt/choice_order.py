"""The order in which a question's choices are shown: a different one for each sample, if shuffled.

This exposes a model that guesses a letter, since the correct answer has a different letter each time. A
sample keeps its item's columns and records in `choice_order` how they were shown; what reads its response
(a training prompt, the grader, a judge) uses `shown(row)`.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

_REFERS = re.compile(
    r"\b(?:all|none|both|any|neither|either|some|most|each|one|two) of (?:the |these|those|them)"
    r"|\b(?:above|below|preceding|following|aforementioned)\b"
    r"|\b(?:both|neither|either)\b.*\b(?:and|n?or)\b"
    r"|\b(?:options?|choices?|answers?)\s+\(?[A-Z]\b"
    r"|(?<![\w'])\(?[A-Z]\)?\s*(?:,|and|or|&|/)\s*\(?[A-Z]\)?(?![\w'])"
    r"|<image>",
    re.I,
)
"""A choice that refers to others, or to its own position, and would be wrong in another order."""
_LETTERS = re.compile(r"\(?[A-Z]\)?\.?(?:(?:\s*(?:,|;|&|and)\s*|\s*)\(?[A-Z]\)?\.?)*")


def order_of(row: Mapping[str, Any], seed: int | None, sample: int) -> list[int] | None:
    """Indices of the choices in the order shown to this sample; None: in their original order.

    Depends only on the seed, the question and the sample's number. Over as many samples as there are
    choices, each choice has each position once. Choices that refer to others ("all of the above",
    "A and C"), single letters, and choices without the gold are not shuffled.
    """
    choices = row["choices"] or []
    n = len(choices)
    if n < 2 or any(_stays(choice) for choice in choices) or not _found(row["answer"], choices):
        return None
    asked = json.dumps([seed, row["question"], choices, row["images"], sample // n])
    digest = hashlib.blake2b(asked.encode()).digest()
    order = list(range(n))
    random.Random(digest).shuffle(order)
    turn = sample % n
    return order[turn:] + order[:turn]


def shown(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row as shown to the model: its choices in that order, with answer and predicted relettered."""
    order = row.get("choice_order")
    if not order:
        return row
    places = {place: at for at, place in enumerate(order)}
    letters = {
        name: _relettered(row[name], row["choices"], places)
        for name in ("answer", "predicted")
        if name in row
    }
    return {**row, "choices": choices_shown(row), **letters, "choice_order": None}


def choices_shown(row: Mapping[str, Any]) -> list[str]:
    """The row's choices in the order in which they were shown."""
    choices = row.get("choices") or []
    order = row.get("choice_order")
    return [choices[place] for place in order] if order else list(choices)


def letters_back(letters: str, order: Sequence[int]) -> str:
    """Letters of shown choices, mapped back to the original order: A, or A, C."""
    return ", ".join(sorted(ascii_uppercase[order[ascii_uppercase.index(x)]] for x in letters))


def _stays(choice: str) -> bool:
    return (len(choice.strip()) == 1 and choice.strip().isalpha()) or bool(_REFERS.search(choice))


def _found(gold: str | None, choices: Sequence[str]) -> bool:
    """Whether the gold is the text of one choice, or letters of some; True if there is no gold."""
    if gold is None:
        return True
    if sum(choice.casefold() == gold.casefold() for choice in choices) == 1:
        return True
    letters = _letters(gold)
    return bool(letters) and ascii_uppercase.index(max(letters)) < len(choices)


def _letters(gold: str) -> list[str]:
    return re.findall("[A-Z]", re.sub("and", "", gold)) if _LETTERS.fullmatch(gold) else []


def _relettered(gold: str | None, choices: Sequence[str], places: Mapping[int, int]) -> str | None:
    if gold is None or any(choice.casefold() == gold.casefold() for choice in choices):
        return gold
    found = [ascii_uppercase.index(letter) for letter in _letters(gold)]
    if not found or max(found) >= len(choices):
        return gold
    return ", ".join(sorted(ascii_uppercase[places[place]] for place in found))
