"""Drop what a person flagged in `vlt view`, with the person's note as the reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from vlt.filters.protocol import Judgement, with_found
from vlt.workspace.flags import Flags, Key
from vlt.workspace.reason import Reason
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace


@dataclass(frozen=True)
class Flagged:
    """Drops flagged rows; a mark on a response overrides the one on its whole item."""

    name: ClassVar[str] = "flagged"
    columns: ClassVar[tuple[str, ...]] = ("id",)
    of_items: ClassVar[bool] = True
    option: ClassVar[str] = "--drop-flagged"

    marks: Mapping[Key, tuple[str, str]] = field(default_factory=dict, init=False)
    """(id, sample, model) -> (mark, note); read from the workspace."""

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> Flagged:  # noqa: ARG002
        """The same filter with the workspace's current flags."""
        found = {flag.key: (flag.mark, flag.note) for flag in Flags(workspace.root).all()}
        return with_found(self, marks=found)

    def identity(self) -> dict[str, Any]:
        """The number of flagged rows, and a digest of every mark: a new flag makes a new version."""
        marks = sorted(json.dumps([*key, *mark]) for key, mark in self.marks.items())
        text = "\n".join(marks)
        flagged = sum(mark == "flag" for mark, _ in self.marks.values())
        return {"flagged": flagged, "digest": hashlib.sha256(text.encode()).hexdigest()}

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """By id, and for responses also by sample number and model."""
        wanted = {key[0] for key in self.marks}
        ids = rows.column("id").to_pylist()
        keep = np.ones(rows.num_rows, bool)
        reasons = []
        for place in [i for i, row_id in enumerate(ids) if row_id in wanted]:
            mark, note = self._mark(ids[place], rows, place)
            if mark == "flag":
                keep[place] = False
                reasons.append(Reason("flagged", note))
        return Judgement(keep, reasons)

    def _mark(self, row_id: str, rows: pa.RecordBatch, place: int) -> tuple[str, str]:
        whole = self.marks.get((row_id, None, None), ("", ""))
        if "sample" not in rows.schema.names:
            return whole
        sample, model = (rows.column(name)[place].as_py() for name in ("sample", "model"))
        return self.marks.get((row_id, sample, model), whole)
