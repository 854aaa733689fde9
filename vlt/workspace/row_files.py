"""The Parquet files of a version's rows: row groups of one size, encoded and hashed in their order."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlt.cores import processes
from vlt.threads import InTurn, Room
from vlt.workspace.row_group import Mask, Part, together
from vlt.workspace.schema import ADDED

ROWS_A_FILE = 50_000
"""Files are encoded side by side, so a version of a hundred thousand rows needs several."""
REPEATED = (
    "source answer answer_type choices.list.element images.list.element caption_model predicted "
    "caption_finish_reason finish_reason model verdict verdict_reason filter reason"
).split()
"""Columns with dictionary encoding; for long texts it would only be a second copy in memory."""
ROW_GROUP = 1_000
"""Small enough that a writer of long responses buffers some megabytes, not a hundred."""
GROUPS_AHEAD = ROWS_A_FILE // ROW_GROUP + 1
"""Maximum row groups waiting to be encoded or hashed: a file and its end, so that the next is begun too."""
BYTES_AHEAD = 128_000_000
"""The same in bytes: a file of rows of 2.5 kB."""
FILES_AT_ONCE = 4
"""More would wait for hashing, which is two to three times as fast; each takes the memory of a row group."""


class RowFiles:
    """Parquet files `<stem>-00000.parquet`, ... and, with `digested`, the digest of all their rows.

    With more than one core, rows are hashed in one thread and encoded in another for each file in progress,
    behind the writer: Arrow and hashlib do not hold the GIL. If encoding is slower than what the writer gets,
    it falls a file behind, and the next one is begun beside it.
    """

    def __init__(self, folder: Path, stem: str, schema: pa.Schema, *, digested: bool):
        self.folder, self.stem, self.schema = folder, stem, schema
        self._digest = _fresh_digest(schema) if digested else None
        ahead = GROUPS_AHEAD if processes() > 1 else 0
        self._hashing = InTurn(ahead, "digest")
        self._encoding = [InTurn(ahead, "encode") for _ in range(FILES_AT_ONCE)]
        self._to_hash, self._to_encode = Room(BYTES_AHEAD), Room(BYTES_AHEAD)
        self._files: list[_File] = []
        self._held: deque[Part] = deque()
        """Rows that do not fill a row group yet."""
        self._held_rows = 0

    def write(self, rows: pa.Table, where: Mask | None = None) -> None:
        """Add the next rows: with `where` [rows], those for which it is true.

        Those are copied only when they are encoded and hashed, so `rows` should be mapped from a file.
        """
        part = Part(rows) if where is None else Part(rows, np.flatnonzero(where))
        if part.rows:
            self._held.append(part)
            self._held_rows += part.rows
        if self._held_rows < ROW_GROUP:
            return
        if where is None:
            self._held = deque([Part(together(self._held, self.schema))])
        while self._held_rows >= ROW_GROUP:
            self._write_group(ROW_GROUP)

    def flush(self) -> None:
        """Write buffered rows, and wait until all are written: mapped files are no longer needed then."""
        if self._held_rows or (not self._files and self.stem == "part"):
            self._write_group(self._held_rows)
        for thread in (*self._encoding, self._hashing):
            thread.finish()

    def close(self) -> None:
        """`flush`, and close the files."""
        self.flush()
        for file in self._files:
            file.close()

    def digest(self) -> str:
        """The digest of all rows, after the files are closed."""
        assert self._digest is not None, "created with digested=True"
        return self._digest.hexdigest()

    def abandon(self) -> None:
        """Stop without writing buffered rows; harmless after `close`."""
        for thread in (*self._encoding, self._hashing):
            thread.stop()
        with suppress(OSError):  # the disk may be the cause, and that error must be reported
            for file in self._files:
                file.close()

    def _write_group(self, size: int) -> None:
        """Hash and encode the next `size` rows of those held."""
        group: list[Part] = []
        self._held_rows -= size
        left = size
        while left:
            part, rest = self._held.popleft().split(left)
            group.append(part)
            left -= part.rows
            if rest.rows:
                self._held.appendleft(rest)
        if not self._files or self._files[-1].rows >= ROWS_A_FILE:
            name = f"{self.stem}-{len(self._files):05d}.parquet"
            self._files.append(_File(self.folder / name, self.schema))
        file = self._files[-1]
        file.rows += size
        held = sum(part.bytes for part in group)
        if self._digest:
            self._to_hash.take(held)
            self._hashing.do(
                self._to_hash.during, held, _digest_rows, self._digest, self.schema, group
            )
        self._to_encode.take(held)
        thread = self._encoding[(len(self._files) - 1) % len(self._encoding)]
        thread.do(self._to_encode.during, held, file.encode, group)
        if file.rows >= ROWS_A_FILE:
            thread.do(file.close)


class _File:
    """A Parquet file, opened for its first row group."""

    def __init__(self, path: Path, schema: pa.Schema):
        self._path, self._schema = path, schema
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0
        """Those to be encoded included."""

    def encode(self, group: Sequence[Part]) -> None:
        """Write a row group."""
        self._writer = self._writer or pq.ParquetWriter(
            self._path,
            self._schema,
            use_dictionary=list(REPEATED),  # ignores those that this schema lacks
            compression="zstd",
            compression_level=1,
        )
        self._writer.write_table(together(group, self._schema), row_group_size=ROW_GROUP)

    def close(self) -> None:
        """Write the file's end; harmless if it is closed."""
        if self._writer:
            self._writer.close()
            self._writer = None


def _fresh_digest(schema: pa.Schema) -> Any:
    return hashlib.sha256(str([n for n in schema.names if n not in ADDED]).encode())


def _digest_rows(digest: Any, schema: pa.Schema, parts: Sequence[Part]) -> None:
    """Feed a row group's values into the digest, independent of their layout in Parquet or Arrow."""
    group = together(parts, schema)
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
