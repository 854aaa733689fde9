"""Remove duplicates from a Parquet file that has an `id` column; needs no workspace.

It uses the filters of datasets, with each row as an item whose question is its text. Texts are equal if they
differ only in case and surrounding spaces (by a 64-bit hash: the chance of one false pair is 3e-8 in a
million rows); `near` compares n-grams, see near_dedup.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlt.errors import UsageError, UserError
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.duplicates.exact import Dedup
from vlt.filters.duplicates.file_texts import (
    BATCH,
    READ_BYTES,
    exact_keys,
    sampled_texts,
    texts_of,
)
from vlt.filters.duplicates.minhash import common_grams
from vlt.filters.duplicates.near_dedup import NearDedup
from vlt.filters.protocol import Once, with_found
from vlt.filters.text import Ints
from vlt.filters.views import Views
from vlt.process_pool import ProcessPool
from vlt.workspace.files import replaced
from vlt.workspace.progress import report_progress
from vlt.workspace.row_group import Mask

NONE = pa.schema([("id", pa.int64()), ("kept", pa.int64())])


@dataclass(frozen=True)
class Deduped:
    """What became of the rows."""

    rows: int
    kept: int
    clusters: int
    """Groups of two or more."""


def dedup_file(
    file: Path,
    to: Path,
    on: Sequence[str],
    scratch: Scratch,
    *,
    near: bool = False,
    threshold: float = 0.8,
    keep: str = "first",
    columns: Sequence[str] | None = None,
    dropped: Path | None = None,
) -> Deduped:
    """Write the kept rows to `to`, in their order.

    Args:
        on: Columns that make up a row's text.
        keep: Which row of a cluster is kept: first, or shortest (text).
        columns: Those to write; all by default.
        dropped: Where to write id, kept (the id kept in its place) and cluster of each dropped row.

    Raises UserError if the file or a column is missing.
    """
    opened = _opened(file)
    for name in [*on, "id", *(columns or [])]:
        if name not in opened.schema_arrow.names:
            raise UserError(
                f"{str(file)!r} has no column {name!r}; it has {', '.join(opened.schema_arrow.names)}"
            )
    if to.resolve() == file.resolve():
        raise UsageError(f"--to {str(to)!r} is the input file; name another")
    if keep not in ("first", "shortest"):
        raise UsageError(f"--keep {keep!r} is not known; write first or shortest")
    rows = opened.metadata.num_rows
    gone = NONE.empty_table()
    if rows and near:
        filter = NearDedup(threshold=threshold, keep=keep, answers=False)
        gone = _near(file, on, filter, scratch, rows)
    elif rows:
        gone = _exact(file, on, Dedup(keep=keep), scratch)
    places = gone["id"].to_numpy()
    stays: Mask = np.ones(rows, bool)
    stays[places] = False
    _copy(opened, to, stays, columns)
    if dropped:
        ids = pq.read_table(file, columns=["id"])["id"].combine_chunks()
        out = {"id": ids.take(gone["id"]), "kept": ids.take(gone["kept"]), "cluster": gone["kept"]}
        pq.write_table(pa.table(out), dropped)
    return Deduped(rows, int(stays.sum()), pc.count_distinct(gone["kept"]).as_py())


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES)
    except FileNotFoundError:
        raise UserError(f"{str(file)!r} does not exist; name a Parquet file or a dataset") from None
    except pa.ArrowInvalid:
        raise UserError(f"{str(file)!r} is not a Parquet file; name one, or a dataset") from None


def _exact(file: Path, on: Sequence[str], filter: Dedup, scratch: Scratch) -> pa.Table:
    """The rows to drop: their numbers, and those of the rows kept in their place."""
    keys, nothing = exact_keys(file, on, scratch)
    columns = {"id": np.arange(len(keys)), "first": keys}
    if filter.keep == "shortest":
        columns |= {"length": _lengths(file, on), "verdict": np.zeros(len(keys), np.int8)}
    view = pa.table(columns).filter(pa.array(~nothing))  # rows of nulls are not duplicates
    return _numbered(view, filter.duplicates(view, scratch))


def _near(
    file: Path, on: Sequence[str], filter: NearDedup, scratch: Scratch, rows: int
) -> pa.Table:
    """As _exact, by n-grams: each row is an item whose question is its text, without images and gold."""
    common = Once(lambda: common_grams(sampled_texts(file, on)))
    ready = with_found(filter, common=common, pictures=Once(lambda: None))
    scratch.folder.mkdir(parents=True, exist_ok=True)
    pieces = -(-rows // BATCH)
    with ProcessPool(_Views(ready), scratch.folder, scratch.threads) as pool:
        views = Views(scratch.folder)
        for each in pool.map(_numbered_texts(file, on), pieces):
            views.add(each)
    view = views.table()
    return _numbered(view, ready.duplicates(view, scratch))


@dataclass(frozen=True)
class _Views:
    """The job of a pool: the filter's view of texts, starting at the row with this number."""

    filter: NearDedup

    def __call__(self, piece: tuple[int, pa.Array]) -> pa.RecordBatch:
        start, texts = piece
        n = len(texts)
        nothing = pa.nulls(n, pa.list_(pa.string()))
        columns = {
            "id": pa.array(np.arange(start, start + n)),
            "question": texts,
            "choices": nothing,
            "images": nothing,
            "response": texts,
            "verdict": pa.nulls(n, pa.string()),
        }
        return self.filter.view(pa.RecordBatch.from_pydict(columns))


def _numbered(view: pa.Table, gone: pa.Table) -> pa.Table:
    return pa.table([view["id"].take(gone["place"]), gone["kept"]], schema=NONE)


def _numbered_texts(file: Path, on: Sequence[str]) -> Iterator[tuple[int, pa.Array]]:
    """(number of the first row, texts) of batches of rows."""
    start = 0
    for texts in texts_of(file, on):
        yield start, texts
        start += len(texts)
        report_progress(start, unit="rows looked at")


def _lengths(file: Path, on: Sequence[str]) -> Ints:
    return np.concatenate(
        [pc.fill_null(pc.utf8_length(texts), 0).to_numpy() for texts in texts_of(file, on)]
    )


def _copy(opened: pq.ParquetFile, to: Path, stays: Mask, columns: Sequence[str] | None) -> None:
    schema = opened.schema_arrow
    if columns is not None:
        wanted = list(dict.fromkeys(["id", *columns]))
        schema = pa.schema([schema.field(name) for name in wanted])
    plain = [f.name for f in schema if not pa.types.is_string(f.type)]
    at = 0
    with (
        replaced(to) as part,
        pq.ParquetWriter(
            part, schema, compression="zstd", compression_level=1, use_dictionary=plain
        ) as writer,
    ):
        for batch in opened.iter_batches(10 * BATCH, columns=schema.names):
            mask = stays[at : at + batch.num_rows]
            at += batch.num_rows
            report_progress(at, len(stays), "rows written")
            writer.write_batch(batch.select(schema.names).filter(pa.array(mask)))
