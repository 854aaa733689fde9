"""The texts of a Parquet file, batch by batch, and keys by which equal texts are found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.duplicates.hashing import Hashes
from vlt.filters.duplicates.minhash import SAMPLED
from vlt.filters.text import buffers
from vlt.threads import map_in_order
from vlt.workspace.row_group import Mask

BATCH = 1_000
"""Rows, each of which may take megabytes."""
READ_BYTES = 1 << 20
"""Bytes read at a time. With `pre_buffer`, pyarrow's default, the whole file would stay in memory."""
GATHERED = 8 << 20
GROUPS_SAMPLED = 8


def texts_of(file: Path, on: Sequence[str]) -> Iterator[pa.Array]:
    """The texts of all rows, in batches; several columns are concatenated."""
    for columns in _columns(file, on):
        yield _joined(columns)


def sampled_texts(file: Path, on: Sequence[str]) -> Iterator[pa.Array]:
    """About SAMPLED rows, from row groups spread over the file."""
    with pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES) as opened:
        groups = range(0, opened.num_row_groups, max(1, opened.num_row_groups // GROUPS_SAMPLED))
        for group in groups:
            wanted = SAMPLED // max(1, len(groups))
            for batch in opened.iter_batches(BATCH, row_groups=[group], columns=list(on)):
                yield _joined([_text(batch.column(name)) for name in on]).slice(0, wanted)
                wanted -= batch.num_rows
                if wanted <= 0:
                    break


def exact_keys(file: Path, on: Sequence[str], scratch: Scratch) -> tuple[Hashes, Mask]:
    """(keys [rows], equal for texts that differ only in case and surrounding spaces; mask of all-null rows).

    The hash is DuckDB's; Arrow lower-cases the texts beforehand, at a third of DuckDB's cost.
    """
    names = [f"text{place}" for place in range(len(on))]
    keys, nothing = [np.zeros(0, np.uint64)], [np.zeros(0, bool)]
    with scratch.connect() as connection:
        connection.execute("set preserve_insertion_order = true")

        def hashed(batches: list[list[pa.Array]]) -> tuple[Hashes, Mask]:
            null = np.concatenate([_null(columns) for columns in batches])
            folded = [[_folded(column) for column in columns] for columns in batches]
            texts = pa.table(
                [pa.chunked_array(each) for each in zip(*folded, strict=True)], names=names
            )
            with connection.cursor() as cursor:
                cursor.register("texts", texts)
                found = cursor.execute(f"select hash({', '.join(names)}) as key from texts")
                return np.asarray(found.fetchnumpy()["key"], np.uint64), null

        for key, null in map_in_order(hashed, _gathered(_columns(file, on)), scratch.threads):
            keys.append(key)
            nothing.append(null)
    return np.concatenate(keys), np.concatenate(nothing)


def _columns(file: Path, on: Sequence[str]) -> Iterator[list[pa.Array]]:
    with pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES) as opened:
        for batch in opened.iter_batches(BATCH, columns=list(on)):
            yield [_text(batch.column(name)) for name in on]


def _gathered(batches: Iterable[list[pa.Array]]) -> Iterator[list[list[pa.Array]]]:
    """Groups of batches of about GATHERED bytes: a query costs a millisecond, however few the rows."""
    here: list[list[pa.Array]] = []
    for columns in batches:
        here.append(columns)
        if sum(column.nbytes for each in here for column in each) >= GATHERED:
            yield here
            here = []
    if here:
        yield here


def _null(columns: list[pa.Array]) -> Mask:
    nulls: Mask = np.logical_and.reduce(
        [column.is_null().to_numpy(zero_copy_only=False) for column in columns]
    )
    return nulls


def _text(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return column
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
    return column.cast(pa.string())


def _joined(columns: list[pa.Array]) -> pa.Array:
    if len(columns) == 1:
        return columns[0]
    return pc.binary_join_element_wise(*columns, "\n", null_handling="replace")


def _folded(column: pa.Array) -> pa.Array:
    data, _ = buffers(column)
    ascii = not len(data) or data.max() < 128
    lower = pc.ascii_lower(column) if ascii else pc.utf8_lower(column)
    spaced = pc.or_(pc.starts_with(lower, " "), pc.ends_with(lower, " "))
    return pc.utf8_trim(lower, " ") if pc.any(spaced).as_py() else lower
