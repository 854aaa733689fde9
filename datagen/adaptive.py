"""How many samples a row gets: k, and k more as long as too few of them are correct.

The budget goes to the hard rows. Stopping as soon as enough samples are correct is biased: over all
samples of such a version the share of correct ones is too high. The first k of every row are always
drawn, so over `sample < k` it is unbiased; the manifest's parameters have k, `until_correct` and
`max_samples`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vlt.choice_order import order_of, shown
from vlt.datagen.asking import Asking
from vlt.grade import grade_many


def correct_counts(
    rows: Sequence[dict[str, Any]], responses: Sequence[Mapping[int, str]], asking: Asking
) -> list[int]:
    """How many of each row's responses (sample number -> text) are correct."""

    def as_asked(row: dict[str, Any], sample: int) -> Mapping[str, Any]:
        if not asking.shuffle_choices:
            return row
        return shown({**row, "choice_order": order_of(row, asking.seed, sample)})

    flat = [
        (as_asked(row, sample), text)
        for row, texts in zip(rows, responses, strict=True)
        for sample, text in texts.items()
    ]
    grades = grade_many(
        [text for _, text in flat],
        [row["answer"] or "" for row, _ in flat],
        questions=[row["question"] for row, _ in flat],
        choices=[row["choices"] for row, _ in flat],
        answer_types=[row["answer_type"] for row, _ in flat],
    )
    verdicts = iter(grade.verdict == "correct" for grade in grades)
    return [sum(next(verdicts) for _ in texts) for texts in responses]
