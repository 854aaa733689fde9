"""Parquet: read in small batches, so that embedded images do not fill the memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.datagen.sources.formats.opened import open_binary
from vlt.datagen.sources.record import Row, Unreadable
from vlt.datagen.sources.values import converters, rows_of
from vlt.errors import UserError

BATCH_BYTES = 16 << 20


def parquet_columns(file: Path) -> list[str]:
    """The names of the columns."""
    return list(open_parquet(file).schema_arrow.names)


def parquet_rows(file: Path, leave_out: Sequence[str]) -> Iterator[Row | Unreadable]:
    """The rows; columns in `leave_out` are not read."""
    with open_parquet(file) as opened:
        schema = opened.schema_arrow
        columns = [n for n in schema.names if n not in leave_out]
        convert = converters(schema)
        meta = opened.metadata
        size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        rows = max(1, min(1_000, math.floor(BATCH_BYTES / max(1, size / max(1, meta.num_rows)))))
        try:
            for group in range(
                meta.num_row_groups
            ):  # one by one, or Arrow would keep many in memory
                for batch in opened.iter_batches(rows, row_groups=[group], columns=columns):
                    yield from rows_of(batch, convert)
        except (pa.ArrowException, OSError) as error:
            words = str(error).split("\n")[0]
            raise UserError(f"{str(file)!r} is damaged ({words}); fetch it again") from None


def open_parquet(file: Path) -> pq.ParquetFile:
    """The file; raises UserError if it is not a Parquet file."""
    open_binary(file).close()  # raises for a Git LFS pointer
    try:
        return pq.ParquetFile(file, buffer_size=1 << 20)
    except (pa.ArrowException, OSError) as error:
        words = str(error).split("\n")[0]
        raise UserError(f"{str(file)!r} is not a Parquet file ({words}); fetch it again") from None
