"""A dataset's rows by row group, and the order in which to look for missing answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.workspace.store import Dataset

ROWS_AT_A_TIME = 256


@dataclass(frozen=True)
class Group:
    """A row group of a dataset's files."""

    file: Path
    index: int
    """Its index in the file."""
    start: int
    """The number of its first row in the dataset."""
    rows: int
    """The number of rows taken from it."""


def row_groups(dataset: Dataset, limit: int | None = None) -> list[Group]:
    """The groups with the first `limit` rows, in order; only the files' footers are read."""
    found: list[Group] = []
    start = 0
    for file in dataset.files:
        with pq.ParquetFile(file) as opened:
            sizes = [
                opened.metadata.row_group(i).num_rows for i in range(opened.metadata.num_row_groups)
            ]
        for index, rows in enumerate(sizes):
            taken = rows if limit is None else min(rows, limit - start)
            if taken > 0:
                found.append(Group(file, index, start, taken))
            start += rows
    return found


def batches(
    groups: Sequence[Group], columns: Sequence[str] | None = None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of the first row, rows) of these groups, at most ROWS_AT_A_TIME rows at a time."""
    opened: pq.ParquetFile | None = None
    file = None
    try:
        for group in groups:
            if opened is None or file != group.file:
                if opened:
                    opened.close()
                file, opened = group.file, pq.ParquetFile(group.file)
            done = 0
            # Without threads: each would take its own memory, for little gain.
            for batch in opened.iter_batches(
                ROWS_AT_A_TIME, row_groups=[group.index], columns=columns, use_threads=False
            ):
                rows = batch.slice(0, group.rows - done)
                if not rows.num_rows:
                    break
                yield group.start + done, rows
                done += rows.num_rows
    finally:
        if opened:
            opened.close()


def unanswered_first(groups: list[Group], lacks: Callable[[Group], bool]) -> list[Group]:
    """The groups, starting with those that probably lack an answer; `lacks` tests one.

    Usually the beginning is answered: a run was stopped, or rows were added at the end. So the place
    where the answers end is found by binary search, and a resumed run of 100,000 rows sends its first
    request after reading a few thousand of them.
    """
    if len(groups) < 3 or lacks(groups[0]) or not lacks(groups[-1]):
        return groups
    low, high = 1, len(groups) - 1
    while low < high:
        middle = (low + high) // 2
        if lacks(groups[middle]):
            high = middle
        else:
            low = middle + 1
    return [*groups[high:], *groups[:high]]
