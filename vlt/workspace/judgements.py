"""Models' judgements of a row by a rubric: the column `judgements` of captions and samples, and how they
are combined.

A judgement is one reply of one judge: {rubric, model, score, verdict, reason}. Several by one rubric, from
several models or several samples of one, are combined into the mean score and the majority verdict.
Further rubrics add to the column, and nothing in it is ever replaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vlt.workspace.schema import JUDGED, JUDGEMENTS

COLUMN = "judgements"
PASS, FAIL, UNJUDGED = JUDGED


@dataclass(frozen=True)
class Judged:
    """All judgements of a row by one rubric, combined."""

    score: float | None
    """The mean of the scores; None if there are none."""
    verdict: str
    """The verdict of more than half of the judges; unjudged if there is none, as in an even split."""
    judges: int
    reason: str = ""
    """That of the first judge of the majority; for unjudged, why."""


def combined(judgements: Sequence[Mapping[str, Any]] | None, rubric: str) -> Judged | None:
    """A row's judgements by a rubric, combined; None if it was not judged by it."""
    found = [j for j in judgements or () if j["rubric"] == rubric]
    if not found:
        return None
    scores = [j["score"] for j in found if j["score"] is not None and j["verdict"] != UNJUDGED]
    mean = sum(scores) / len(scores) if scores else None
    counts = Counter(j["verdict"] for j in found)
    most, count = counts.most_common(1)[0]
    if 2 * count <= len(found):
        split = ", ".join(f"{counts[v]} {v}" for v in JUDGED if counts[v])
        return Judged(mean, UNJUDGED, len(found), f"no majority: {split}")
    reason = next(j["reason"] for j in found if j["verdict"] == most)
    return Judged(mean, most, len(found), reason or "")


def rubrics_of(judgements: Iterable[Sequence[Mapping[str, Any]] | None]) -> list[str]:
    """The rubrics by which these rows were judged, in the order of their first judgement."""
    return list(dict.fromkeys(j["rubric"] for of_row in judgements for j in of_row or ()))


def judgements_in(rows: pa.RecordBatch | pa.Table) -> list[list[dict[str, Any]]]:
    """Each row's judgements; without the column, as in versions of earlier releases, there are none."""
    if COLUMN not in rows.schema.names:
        return [[] for _ in range(rows.num_rows)]
    return [of_row or [] for of_row in rows.column(COLUMN).to_pylist()]


def with_judgements(
    rows: pa.RecordBatch, new: Sequence[Sequence[Mapping[str, Any]]]
) -> pa.RecordBatch:
    """The rows with new judgements appended to those that they have."""
    both = [[*old, *more] for old, more in zip(judgements_in(rows), new, strict=True)]
    column = pa.array(both, JUDGEMENTS)
    if COLUMN not in rows.schema.names:
        return rows.append_column(COLUMN, column)
    return rows.set_column(rows.schema.get_field_index(COLUMN), COLUMN, column)


def verdict_sql(rubric: str) -> str:
    """A DuckDB expression over the column: `combined(...).verdict`, null if there is no judgement."""
    name = "'" + rubric.replace("'", "''") + "'"
    of_it = f"list_filter({COLUMN}, lambda j: j.rubric = {name})"
    votes = {v: f"len(list_filter({of_it}, lambda j: j.verdict = '{v}'))" for v in (PASS, FAIL)}
    cases = " ".join(f"when 2 * {n} > len({of_it}) then '{v}'" for v, n in votes.items())
    return f"case when len({of_it}) > 0 then case {cases} else '{UNJUDGED}' end end"
