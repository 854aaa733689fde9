"""The views of a whole filter, on disk until it decides.

A view takes ten to some hundred bytes for each row, which for many millions of rows is more than a machine
has. Mapped from a file it takes what memory is free: the system drops its pages and reads them again.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pyarrow as pa


class Views:
    """Batches of one schema, in the order in which they are added."""

    def __init__(self, folder: Path):
        self._file = folder / f"views-{uuid4().hex}.arrow"
        self._writer: pa.RecordBatchFileWriter | None = None
        self.rows = 0

    def add(self, view: pa.RecordBatch) -> None:
        """Write a batch, of whose memory nothing is kept."""
        if self._writer is None:
            self._writer = pa.ipc.new_file(str(self._file), view.schema)
        self._writer.write_batch(view)
        self.rows += view.num_rows

    def table(self) -> pa.Table:
        """All batches, at least one, mapped; call it once. Their disk space is free when the table is."""
        assert self._writer is not None, "add() comes first"
        self._writer.close()
        with pa.memory_map(str(self._file)) as source, pa.ipc.open_file(source) as views:
            table = views.read_all()
        self._file.unlink()
        return table
