"""Which samples of an item give the same answer, as the grader sees it.

The share of the samples that give the majority's answer is the item's agreement: it needs no gold
and no judge (self-consistency: Wang et al. 2023, arXiv 2203.11171).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlt.grade.grader import grade

COLUMNS = ("question", "choices", "answer_type")
"""The columns, besides `predicted`, that decide whether two answers are the same."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Majority:
    """The answer that most samples of an item give."""

    answer: str
    """As most of them write it."""
    count: int
    """Samples that give it."""
    samples: int
    """All samples, including those without an answer."""

    @property
    def share(self) -> float:
        """Of all samples."""
        return self.count / self.samples


def majority(rows: Sequence[Row]) -> Majority | None:
    """The majority among the samples of one item (COLUMNS and `predicted`); None if none gives an answer.

    An answer joins a more frequent spelling if it would be correct with that as gold. Of equally large
    groups, the one whose first sample comes first wins.
    """
    written = Counter(row["predicted"].strip() for row in rows if (row["predicted"] or "").strip())
    groups: dict[str, int] = {}
    for answer, count in written.most_common():
        same = next((other for other in groups if same_answer(answer, other, rows[0])), answer)
        groups[same] = groups.get(same, 0) + count
    if not groups:
        return None
    answer = max(groups, key=lambda each: groups[each])
    return Majority(answer, groups[answer], len(rows))


def agreement(rows: Sequence[Row]) -> float | None:
    """Share of an item's samples with the majority's answer; None for fewer than two samples."""
    if len(rows) < 2:
        return None
    found = majority(rows)
    return found.share if found else 0.0


def same_answer(answer: str, gold: str, row: Row) -> bool:
    """Whether an answer to the row's question (COLUMNS) would be correct if `gold` were the gold answer."""
    verdict = grade(
        f"<answer>{answer}</answer>",
        gold,
        question=row["question"],
        choices=row["choices"] or None,
        answer_type=row["answer_type"],
    ).verdict
    return verdict == "correct"
