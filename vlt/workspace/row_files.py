"""The Parquet files of a version's rows: row groups of one size, encoded and hashed in their order."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlt.cores import processes
from vlt.threads import InTurn
from vlt.workspace.schema import ADDED

ROWS_A_FILE = 500_000
REPEATED = (
    "source answer answer_type choices.list.element images.list.element caption_model predicted "
    "caption_finish_reason finish_reason model verdict verdict_reason filter reason"
).split()
"""Columns with dictionary encoding; for long texts it would only be a second copy in memory."""
ROW_GROUP = 1_000
"""Small enough that a writer of long responses buffers some megabytes, not a hundred."""
GROUPS_AHEAD = 4
"""Maximum row groups waiting to be encoded or hashed."""


class RowFiles:
    """Parquet files `<stem>-00000.parquet`, ... and, with `digested`, the digest of all their rows.

    With more than one core, rows are encoded in one thread and hashed in another, a few row groups behind
    the writer: Arrow and hashlib do not hold the GIL.
    """

    def __init__(self, folder: Path, stem: str, schema: pa.Schema, *, digested: bool):
        self.folder, self.stem, self.schema = folder, stem, schema
        self._digest = _fresh_digest(schema) if digested else None
        ahead = GROUPS_AHEAD if processes() > 1 else 0
        self._encoding, self._hashing = InTurn(ahead, "encode"), InTurn(ahead, "digest")
        self._writer: pq.ParquetWriter | None = None
        self._held: list[pa.Table] = []
        self._held_rows = self._file_rows = self._number = 0
        self._empty = True

    def write(self, rows: pa.Table) -> None:
        """Add the next rows."""
        if rows.num_rows:
            self._held.append(rows)
            self._held_rows += rows.num_rows
        if self._held_rows >= ROW_GROUP:
            table = pa.concat_tables(self._held)
            whole = table.num_rows - table.num_rows % ROW_GROUP
            self._write_groups(table.slice(0, whole))
            self._held, self._held_rows = [table.slice(whole)], table.num_rows - whole

    def close(self) -> None:
        """Write buffered rows, and wait until everything is written."""
        if self._held_rows or (self._empty and self.stem == "part"):
            held = pa.concat_tables(self._held) if self._held else self.schema.empty_table()
            self._held, self._held_rows = [], 0
            self._write_groups(held)
        self._encoding.finish()
        self._hashing.finish()
        self._close_file()

    def digest(self) -> str:
        """The digest of all rows, after the files are closed."""
        assert self._digest is not None, "created with digested=True"
        return self._digest.hexdigest()

    def abandon(self) -> None:
        """Stop without writing buffered rows; harmless after `close`."""
        self._encoding.stop()
        self._hashing.stop()
        with suppress(OSError):  # the disk may be the cause, and that error must be reported
            self._close_file()

    def _write_groups(self, rows: pa.Table) -> None:
        rows, self._empty = rows.combine_chunks(), False
        for start in range(0, max(1, rows.num_rows), ROW_GROUP):
            group = rows.slice(start, ROW_GROUP)
            if self._digest:
                self._hashing.do(_digest_rows, self._digest, group)
            self._encoding.do(self._encode, group)

    def _encode(self, group: pa.Table) -> None:
        if self._writer is None or self._file_rows >= ROWS_A_FILE:
            self._open_next()
        assert self._writer is not None
        self._writer.write_table(group, row_group_size=ROW_GROUP)
        self._file_rows += group.num_rows

    def _open_next(self) -> None:
        self._close_file()
        file = self.folder / f"{self.stem}-{self._number:05d}.parquet"
        self._writer = pq.ParquetWriter(
            file,
            self.schema,
            use_dictionary=list(REPEATED),  # ignores those that this schema lacks
            compression="zstd",
            compression_level=1,
        )
        self._number, self._file_rows = self._number + 1, 0

    def _close_file(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None


def _fresh_digest(schema: pa.Schema) -> Any:
    return hashlib.sha256(str([n for n in schema.names if n not in ADDED]).encode())


def _digest_rows(digest: Any, group: pa.Table) -> None:
    """Feed a row group's values into the digest, independent of their layout in Parquet or Arrow."""
    empty = [n for n in ADDED if n in group.schema.names and _holds_nothing(group.column(n))]
    group = group.drop_columns(empty)
    # A slice shares its neighbours' buffers; `take` copies only its own rows.
    alone = group.take(pa.array(range(group.num_rows), pa.int64())).combine_chunks()
    for batch in alone.to_batches():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        digest.update(sink.getvalue())


def _holds_nothing(column: pa.ChunkedArray) -> bool:
    """Whether all values are null or empty lists."""
    if column.null_count == len(column):
        return True
    return pa.types.is_list(column.type) and not pc.max(pc.list_value_length(column)).as_py()
