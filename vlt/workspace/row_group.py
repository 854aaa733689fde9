"""Rows that are copied only where they are needed: some of a table that may be mapped from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

Mask = np.ndarray[Any, np.dtype[np.bool_]]
"""[rows] true for those that are meant."""
Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)
Places = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class Part:
    """All rows of a table, or with `places` those at these indices."""

    table: pa.Table
    places: Places | None = None

    @property
    def rows(self) -> int:
        """How many."""
        return self.table.num_rows if self.places is None else len(self.places)

    @property
    def bytes(self) -> int:
        """Their size; of those at `places`, by the table's mean."""
        return self.table.nbytes * self.rows // max(1, self.table.num_rows)

    def split(self, at: int) -> tuple[Part, Part]:
        """The first `at` rows, and the others."""
        if self.places is None:
            return Part(self.table.slice(0, at)), Part(self.table.slice(at))
        return Part(self.table, self.places[:at]), Part(self.table, self.places[at:])

    def read(self) -> pa.Table:
        """The rows; those at `places` are copied."""
        return self.table if self.places is None else self.table.take(pa.array(self.places))


def together(parts: Sequence[Part], schema: pa.Schema) -> pa.Table:
    """The rows of all the parts, each column in one chunk; without parts, no rows of this schema."""
    if not parts:
        return schema.empty_table()
    return pa.concat_tables([part.read() for part in parts]).combine_chunks()


def only(rows: Rows, where: Mask | None) -> Rows:
    """A copy of the rows for which `where` is true; without it, the rows."""
    return rows if where is None else rows.filter(pa.array(where))
