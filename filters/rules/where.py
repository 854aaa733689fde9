"""Rows that satisfy an SQL condition, as in `vlt show --where`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa

from vlt.errors import UsageError
from vlt.fields import Option
from vlt.filters.protocol import Judgement
from vlt.workspace.reason import Reason
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace


@dataclass(frozen=True)
class Where:
    """Keeps rows that satisfy an SQL condition (in DuckDB's dialect) on their columns."""

    name: ClassVar[str] = "where"
    columns: ClassVar[tuple[str, ...]] = ("id",)

    condition: Annotated[str, Option("--where", metavar="SQL")]
    """Keep rows that satisfy a condition on their columns, e.g. "completion_tokens < 2000"."""

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> Where:  # noqa: ARG002
        """Raises UsageError with DuckDB's message if the condition does not fit the rows."""
        _meeting(parents[0].schema.empty_table(), self.condition, parents[0].ref)
        return self

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """A condition that evaluates to null is not satisfied."""
        keep = np.zeros(rows.num_rows, bool)
        keep[_meeting(pa.Table.from_batches([rows]), self.condition, "the rows")] = True
        return Judgement(keep, Reason("does not meet the condition"))


def _meeting(rows: pa.Table, condition: str, whose: str) -> np.ndarray:
    """The indices of the rows that satisfy the condition."""
    import duckdb

    place = "vlt_place"
    rows = rows.append_column(place, pa.array(np.arange(rows.num_rows)))
    with duckdb.connect(config={"threads": 1, "python_enable_replacements": False}) as connection:
        try:
            found = connection.from_arrow(rows).filter(condition).project(place)
            return found.to_arrow_table()[place].to_numpy()
        except duckdb.Error as error:
            words = " ".join(str(error).split("\n\n")[0].split())
            raise UsageError(f"where {condition!r} does not fit {whose} ({words})") from None
