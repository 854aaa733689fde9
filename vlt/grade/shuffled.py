"""Answers to questions whose choices were shown in another order: see vlt.choice_order."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any

from vlt.choice_order import choices_shown, letters_back
from vlt.grade.choices import Choice
from vlt.grade.clean import clean
from vlt.grade.grader import in_worker
from vlt.grade.judge import Judge
from vlt.grade.letters import several, texts_of
from vlt.grade.verdict import STRICT


def predicted_back(predicted: str | None, row: Mapping[str, Any]) -> str | None:
    """The answer with its letters mapped back to the original order of the choices.

    The text of a choice, or anything that is not a choice, is returned unchanged.
    """
    order = row.get("choice_order")
    if predicted is None or not order:
        return predicted
    texts, said = texts_of(choices_shown(row)), clean(predicted)
    if said in texts:
        return predicted
    if letters := several(said, len(texts)):
        return letters_back(letters, order)
    judge = Judge(in_worker(STRICT), rounding=False)
    found = Choice("A", texts, judge).read(said)
    return predicted if found is None else letters_back(ascii_uppercase[found], order)
