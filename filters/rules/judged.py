"""What did the judges decide? (See `vlt judge` and vlt.workspace.judgements.)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa

from vlt.errors import UsageError
from vlt.fields import Option
from vlt.filters.protocol import Judgement
from vlt.workspace.judgements import (
    COLUMN,
    PASS,
    UNJUDGED,
    Judged,
    combined,
    judgements_in,
    rubrics_of,
)
from vlt.workspace.reason import Reason
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

KEEP, DROP = "keep", "drop"


@dataclass(frozen=True)
class JudgedBy:
    """Keeps what the judges passed by a rubric: by majority, or by their mean score."""

    name: ClassVar[str] = "judged"
    columns: ClassVar[tuple[str, ...]] = (COLUMN,)

    rubric: Annotated[str, Option("--judged", metavar="RUBRIC")]
    """Drop what judges did not pass by this rubric (`vlt judge`)."""
    min_score: Annotated[float | None, Option("--min-score", metavar="N")] = None
    """With --judged: keep rows whose mean score is at least this, whatever the verdict."""
    unjudged: Annotated[str, Option("--unjudged", metavar="keep|drop")] = DROP
    """With --judged: what to do with rows that no judge could judge [drop]."""

    def __post_init__(self) -> None:
        if self.unjudged not in (KEEP, DROP):
            raise UsageError(f"judged: unjudged = {self.unjudged!r} is neither keep nor drop")

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> JudgedBy:  # noqa: ARG002
        """Itself; raises UsageError if no row was judged by the rubric."""
        others: list[str] = []
        for parent in parents:
            for batch in parent.batches([COLUMN]):
                found = rubrics_of(judgements_in(batch))
                if self.rubric in found:
                    return self
                others += [name for name in found if name not in others]
        if not any(parent.manifest.rows for parent in parents):
            return self
        there = f"judged only by {', '.join(others)}" if others else "not judged yet"
        refs = " ".join(parent.ref for parent in parents)
        raise UsageError(
            f"judged: {refs} is {there}; run `vlt judge {parents[0].ref} --rubric {self.rubric} "
            "--model M` first, and filter the version that it makes"
        )

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """A row without a judgement by the rubric is unjudged."""
        found = [combined(of_row, self.rubric) for of_row in judgements_in(rows)]
        reasons = [self._why_not(judged) for judged in found]
        keep = np.array([reason is None for reason in reasons], bool)
        return Judgement(keep, [reason for reason in reasons if reason])

    def _why_not(self, judged: Judged | None) -> Reason | None:
        """Why a row is dropped; None if it is kept."""
        if judged is None or judged.verdict == UNJUDGED:
            if self.unjudged == KEEP:
                return None
            why = judged.reason if judged else "nobody has judged it by this rubric"
            return Reason(f"unjudged by {self.rubric}", why)
        if self.min_score is not None:
            assert judged.score is not None  # a row that passes or fails has a score
            if judged.score >= self.min_score:
                return None
            low = f"below {self.min_score:g} by {self.rubric}"
            return Reason(low, f"{judged.score:g}: {judged.reason}")
        if judged.verdict == PASS:
            return None
        return Reason(f"failed by {self.rubric}", judged.reason)
