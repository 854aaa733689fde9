"""The order in which a question's choices are shown: another one for each sample, where that is asked.

Who guesses a letter is found out by it: the right answer stands at another place each time. A sample
keeps its item's columns and says in `choice_order` how they were shown; what reads its response (the
prompt of a training, the grader, a judge) takes `shown` of the row.
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
"""A choice that speaks of others, or of its own place, and would be false elsewhere."""
_LETTERS = re.compile(r"\(?[A-Z]\)?\.?(?:(?:\s*(?:,|;|&|and)\s*|\s*)\(?[A-Z]\)?\.?)*")


def order_of(row: Mapping[str, Any], seed: int | None, sample: int) -> list[int] | None:
    """Places of the choices in the order that this sample is shown; None: in their own.

    Made of the seed, what is asked and the sample's number alone. Over as many samples as there are
    choices, each choice stands once at each place. Choices that speak of others ("all of the above",
    "A and C"), single letters, and those that do not hold the gold stay as they are.
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
    """The row as the model was shown it: its choices, and letters of them as answer and predicted."""
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
    """Letters of shown choices as the letters that these have in their own order: A, or A, C."""
    return ", ".join(sorted(ascii_uppercase[order[ascii_uppercase.index(x)]] for x in letters))


def _stays(choice: str) -> bool:
    return (len(choice.strip()) == 1 and choice.strip().isalpha()) or bool(_REFERS.search(choice))


def _found(gold: str | None, choices: Sequence[str]) -> bool:
    """Whether the gold is the text of one choice, or letters of some; an item may have none."""
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
