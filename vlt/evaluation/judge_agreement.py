"""vlt judge --agreement: judgements compared with people's marks on the same rows (`vlt view`).

A person accepts or flags a row, a judge passes or fails it. Agreement is the share of rows, both marked and
judged, on which the two agree; Cohen's kappa (1960) corrects for agreement by chance. A row that the judge
left unjudged counts in neither, and is reported separately. The interval of the agreement is Wilson's, that
of kappa a bootstrap over rows, with a fixed seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vlt.errors import UsageError
from vlt.evaluation.compare import RESAMPLES
from vlt.evaluation.interval import wilson
from vlt.workspace.flags import Flag, Flags
from vlt.workspace.judgements import (
    FAIL,
    PASS,
    UNJUDGED,
    Judged,
    combined,
    judgements_in,
    rubrics_of,
)
from vlt.workspace.store import Dataset, Store

MEANS = {"accept": PASS, "flag": FAIL}
"""A person's mark -> the equivalent verdict."""


@dataclass(frozen=True)
class Pair:
    """A row that a person has marked and a judge has judged."""

    id: str
    sample: int | None
    mark: Flag
    judged: Judged

    @property
    def agrees(self) -> bool:
        """Whether person and judge agree."""
        return MEANS[self.mark.mark] == self.judged.verdict

    def as_row(self) -> dict[str, Any]:
        """As a row of a table."""
        return {
            "id": self.id,
            "sample": self.sample,
            "person": self.mark.mark,
            "judge": self.judged.verdict,
            "score": self.judged.score,
            "note": self.mark.note,
            "reason": self.judged.reason,
        }


def agreement(store: Store, rows: Dataset, rubric: str | None = None) -> dict[str, Any]:
    """For each rubric (or one): agreement, kappa, confusion, and the rows where they differ.

    Raises UsageError if nothing is judged, or nothing is marked.
    """
    marks = {flag.key: flag for flag in Flags(store.root).all()}
    marked: list[tuple[dict[str, Any], Flag]] = []
    rubrics: list[str] = []
    for batch in rows.batches(_columns(rows)):
        judgements = judgements_in(batch)
        rubrics += [name for name in rubrics_of(judgements) if name not in rubrics]
        for place, row in enumerate(batch.to_pylist()):
            key = (row["id"], row.get("sample"), row.get("model"))
            if mark := marks.get(key):  # on this response: one on the whole item does not count
                marked.append(({**row, "judgements": judgements[place]}, mark))
    if not rubrics or (rubric and rubric not in rubrics):
        by = f"by rubric {rubric!r}" if rubric else "by any rubric"
        there = f"; there are judgements by {', '.join(rubrics)}" if rubrics else ""
        raise UsageError(
            f"{rows.ref} has no judgements {by}{there}; make them with `vlt judge {rows.ref} "
            f"--rubric {rubric or 'sound'} --model M`"
        )
    if not marked:
        raise UsageError(
            f"no row of {rows.ref} is marked; accept and flag some with `vlt view {rows.ref}`, then "
            "compare"
        )
    chosen = [rubric] if rubric else rubrics
    return {
        "dataset": rows.ref,
        "marked": len(marked),
        "rubrics": {name: of_pairs(list(_pairs(marked, name))) for name in chosen},
    }


def _columns(rows: Dataset) -> list[str]:
    wanted = ("id", "sample", "model", "judgements")
    return [name for name in wanted if name in rows.schema.names]


def _pairs(marked: Sequence[tuple[dict[str, Any], Flag]], rubric: str) -> Iterator[Pair]:
    for row, mark in marked:
        if found := combined(row["judgements"], rubric):
            yield Pair(row["id"], row.get("sample"), mark, found)


def of_pairs(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The statistics of one rubric's pairs, as JSON."""
    judged = [pair for pair in pairs if pair.judged.verdict != UNJUDGED]
    people = [MEANS[pair.mark.mark] for pair in judged]
    judges = [pair.judged.verdict for pair in judged]
    counts = Counter((MEANS[pair.mark.mark], pair.judged.verdict) for pair in pairs)
    low, high = kappa_interval(people, judges)
    return {
        "rows": len(judged),
        "unjudged": len(pairs) - len(judged),
        "agreement": asdict(wilson(sum(pair.agrees for pair in judged), len(judged))),
        "kappa": {"value": kappa(people, judges), "low": low, "high": high},
        "confusion": {
            mark: {verdict: counts[MEANS[mark], verdict] for verdict in (PASS, FAIL, UNJUDGED)}
            for mark in MEANS
        },
        "differ": [pair.as_row() for pair in judged if not pair.agrees],
    }


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa of two raters over the same rows; None if it is not defined.

    It is undefined without rows, or if both raters give the same single label to all.
    """
    (found,) = _kappas(_confusion(first, second)[None])
    return None if np.isnan(found) else float(found)


def _confusion(first: Sequence[str], second: Sequence[str]) -> np.ndarray:
    """[n, n] counts of rows by the first rater's label (row) and the second's (column)."""
    labels = sorted({*first, *second})
    table = np.zeros((len(labels), len(labels)))
    for a, b in zip(first, second, strict=True):
        table[labels.index(a), labels.index(b)] += 1
    return table


def kappa_interval(
    first: Sequence[str], second: Sequence[str]
) -> tuple[float | None, float | None]:
    """The 95 % interval of kappa by a bootstrap over rows; None if too few resamples define it."""
    table = _confusion(first, second).ravel()
    n = len({*first, *second})
    if n < 2:
        return None, None
    rows = int(table.sum())
    drawn = np.random.default_rng(0).multinomial(rows, table / rows, size=RESAMPLES)
    found = _kappas(drawn.reshape(-1, n, n).astype(float))
    found = found[~np.isnan(found)]
    if len(found) < RESAMPLES / 2:
        return None, None
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _kappas(tables: np.ndarray) -> np.ndarray:
    """[n] kappa of n tables [n, labels, labels]; nan if it is not defined."""
    totals = tables.sum((1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.trace(tables, axis1=1, axis2=2) / totals
        chance = (tables.sum(1) * tables.sum(2)).sum(1) / totals**2
        return np.where(np.isclose(chance, 1), np.nan, (seen - chance) / (1 - chance))
