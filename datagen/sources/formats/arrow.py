"""Arrow IPC: what `save_to_disk` of `datasets` writes (a stream), and Feather (a file)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.datagen.sources.record import Row, Unreadable
from vlt.datagen.sources.values import converters, rows_of
from vlt.errors import UserError

ROWS = 100
"""Rows converted at a time, since rows may contain images."""


def arrow_columns(file: Path) -> list[str]:
    """The names of the columns."""
    with _opened(file) as reader:
        return list(reader.schema.names)


def arrow_rows(file: Path, leave_out: Sequence[str]) -> Iterator[Row | Unreadable]:
    """The rows; columns in `leave_out` are not converted to Python."""
    with _opened(file) as reader:
        columns = [n for n in reader.schema.names if n not in leave_out]
        convert = converters(reader.schema)
        for batch in _batches(file, reader):
            wanted = batch.select(columns)
            for start in range(0, wanted.num_rows, ROWS):
                yield from rows_of(wanted.slice(start, ROWS), convert)


def _batches(file: Path, reader: Any) -> Iterator[pa.RecordBatch]:
    try:
        if isinstance(reader, pa.RecordBatchFileReader):
            yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            yield from reader
    except (pa.ArrowException, OSError) as error:
        words = str(error).split("\n")[0]
        raise UserError(f"{str(file)!r} is damaged ({words}); fetch it again") from None


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with pa.memory_map(str(file)) as source:
            magic = source.read(6) == b"ARROW1"
            source.seek(0)
            yield pa.ipc.open_file(source) if magic else pa.ipc.open_stream(source)
    except pa.ArrowInvalid as error:
        words = str(error).split("\n")[0]
        raise UserError(f"{str(file)!r} is not an Arrow file ({words}); fetch it again") from None
