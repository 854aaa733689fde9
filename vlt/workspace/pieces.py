"""A version's rows in pieces that any process can read on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.workspace.store import ParquetRows, read_batches

PIECE = 5_000
"""Rows per piece; vlt writes row groups of 1,000."""


@dataclass(frozen=True)
class RowsPiece:
    """Consecutive rows in one Parquet file."""

    file: Path
    groups: tuple[int, ...]
    """Indices of the row groups."""
    rows: int
    schema: pa.Schema
    """The rows' schema; a column that the file lacks is null."""
    skip: int = 0
    """Rows of the first group to skip."""

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatch:
        """The rows, with `columns` or all."""
        most = self.skip + self.rows
        batches = list(read_batches(self.file, self.schema, columns, most, self.groups))
        if len(batches) > 1:
            batches = pa.Table.from_batches(batches).combine_chunks().to_batches()
        if batches[0].num_rows == self.rows:
            return batches[0]
        return alone(batches[0].slice(self.skip, self.rows))


def pieces(rows: ParquetRows, size: int = PIECE) -> list[RowsPiece]:
    """All rows in pieces of about `size`: several whole row groups of a file, or a part of one larger group.
    Only the files' footers are read."""
    found: list[RowsPiece] = []
    for file in rows.files:
        metadata = pq.read_metadata(file)
        groups: list[int] = []
        held = 0
        for group in range(metadata.num_row_groups):
            groups.append(group)
            held += metadata.row_group(group).num_rows
            if held >= size or group == metadata.num_row_groups - 1:
                parts = range(0, held, max(1, size if len(groups) == 1 else held))
                for skip in parts:
                    some = min(held - skip, size) if len(parts) > 1 else held
                    found.append(RowsPiece(file, (*groups,), some, rows.schema, skip))
                groups, held = [], 0
    return found


def alone(rows: pa.RecordBatch) -> pa.RecordBatch:
    """A copy that does not keep the buffers of the original alive."""
    copied = pa.ipc.read_record_batch(rows.serialize(), rows.schema)
    assert isinstance(copied, pa.RecordBatch)
    return copied
