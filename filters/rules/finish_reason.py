"""Did the model finish its response?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.filters.protocol import Judgement
from vlt.workspace.reason import Reason


@dataclass(frozen=True)
class FinishReason:
    """Drops samples that ended for another reason than the one named; `any` keeps them all.

    `any` also keeps responses that were cut (see vlt.filters.rules.not_cut).
    """

    name: ClassVar[str] = "finish_reason"
    columns: ClassVar[tuple[str, ...]] = ("finish_reason",)

    reason: str = "stop"
    """Keep samples with this finish reason: stop, length, ... [stop]; `any` keeps all."""

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """An unknown finish reason (null) counts as another."""
        found = rows.column("finish_reason")
        if self.reason == "any":
            return Judgement(np.ones(rows.num_rows, bool))
        keep = pc.fill_null(pc.equal(found, self.reason), False).to_numpy(zero_copy_only=False)
        others = found.filter(pa.array(~keep)).to_pylist()
        return Judgement(
            keep, [Reason(f"finished by {other or 'an unknown reason'}") for other in others]
        )
