"""Take duplicates out of a Parquet file that has an `id` column; no workspace is needed.

Texts are the same where they differ in case and outer space only (by a 64-bit hash: the chance of
one false pair is 3e-8 in a million rows). `near` goes by n-grams, see near.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlt.errors import UsageError, UserError
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.duplicates.clusters import Mask, near_clusters
from vlt.filters.duplicates.file_texts import (
    BATCH,
    READ_BYTES,
    exact_keys,
    sampled_texts,
    texts_of,
)
from vlt.filters.duplicates.minhash import Sketches, common_grams, concatenated, sketched
from vlt.filters.text import Ints
from vlt.threads import map_in_order
from vlt.workspace.files import replaced


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
    """Write the rows that stay to `to`, in their order.

    Args:
        on: Columns that make a row's text.
        keep: The row of a cluster that stays: first, or shortest (text).
        columns: Those written; all by default.
        dropped: Where to write id, kept (the id that stays) and cluster of each row taken out.

    Raises UserError where the file or a column is missing.
    """
    opened = _opened(file)
    for name in [*on, "id", *(columns or [])]:
        if name not in opened.schema_arrow.names:
            raise UserError(
                f"{str(file)!r} has no column {name!r}; it has {', '.join(opened.schema_arrow.names)}"
            )
    if to.resolve() == file.resolve():
        raise UsageError(f"--to {str(to)!r} is the file itself; name another")
    label = _near(file, on, threshold, scratch.threads) if near else _exact(file, on, scratch)
    if keep == "shortest":
        label = _shortest(label, _lengths(file, on))
    elif keep != "first":
        raise UsageError(f"--keep {keep!r} is not known; write first or shortest")
    stays: Mask = label == np.arange(len(label))
    _copy(opened, to, stays, columns)
    gone = np.flatnonzero(~stays)
    if dropped:
        ids = pq.read_table(file, columns=["id"])["id"].combine_chunks()
        kept = label[gone]
        columns_out = {"id": ids.take(gone), "kept": ids.take(kept), "cluster": pa.array(kept)}
        pq.write_table(pa.table(columns_out), dropped)
    return Deduped(len(label), int(stays.sum()), len(np.unique(label[gone])))


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES)
    except FileNotFoundError:
        raise UserError(f"{str(file)!r} does not exist; name a Parquet file or a dataset") from None
    except pa.ArrowInvalid:
        raise UserError(f"{str(file)!r} is not a Parquet file; name one, or a dataset") from None


def _exact(file: Path, on: Sequence[str], scratch: Scratch) -> Ints:
    keys, nothing = exact_keys(file, on, scratch)
    return np.where(nothing, np.arange(len(keys)), _first_of_each(keys))


def _first_of_each(keys: np.ndarray[Any, np.dtype[np.uint64]]) -> Ints:
    """[n] the number of the first row of the same key."""
    order = np.argsort(keys, kind="stable")
    new = np.ones(len(keys), bool)
    new[1:] = keys[order[1:]] != keys[order[:-1]]
    first = np.empty(len(keys), np.int64)
    first[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return first


def _near(file: Path, on: Sequence[str], threshold: float, threads: int) -> Ints:
    common = common_grams(sampled_texts(file, on))

    def work(texts: pa.Array) -> Sketches:
        return sketched(texts, common)

    return near_clusters(
        concatenated(list(map_in_order(work, texts_of(file, on), threads))), threshold
    )


def _lengths(file: Path, on: Sequence[str]) -> Ints:
    lengths = [pc.fill_null(pc.utf8_length(texts), 0).to_numpy() for texts in texts_of(file, on)]
    return np.concatenate([np.zeros(0, np.int64), *lengths])


def _shortest(label: Ints, lengths: Ints) -> Ints:
    """Each cluster named by its shortest text (the first of them) instead of its first."""
    order = np.lexsort((lengths, label))
    new = np.ones(len(label), bool)
    new[1:] = label[order[1:]] != label[order[:-1]]
    shortest = np.empty(len(label), np.int64)
    shortest[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return shortest


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
            writer.write_batch(batch.select(schema.names).filter(pa.array(mask)))
