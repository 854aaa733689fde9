"""Exports as jobs of a process pool (see vlt.process_pool): the work on a group of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.datagen.export.cells import image_cell
from vlt.images.store import ImageStore
from vlt.process_pool import shared_out
from vlt.workspace.features import IMAGES
from vlt.workspace.pieces import PIECE, RowsPiece, pieces
from vlt.workspace.store import Dataset

Row = dict[str, Any]
ROWS = PIECE
"""Rows whose lines of a text file are written at once."""
ROWS_HELD = 100
"""Rows that are turned into dicts at once, which takes memory, and the GIL."""


@dataclass(frozen=True)
class Embed:
    """Rows with hashes of images -> the rows with the images' bytes, and the images whose bytes changed."""

    images: ImageStore
    schema: pa.Schema

    def __call__(self, rows: pa.RecordBatch) -> tuple[pa.Table, set[str]]:
        """Returns the table in `schema` (see `embedded`), and the changed images."""
        changed: set[str] = set()
        pictures = [
            [image_cell(self.images, sha256, changed) for sha256 in hashes]
            for hashes in rows.column("images").to_pylist()
        ]
        columns = [
            pa.array(pictures, IMAGES) if f.name == "images" else rows.column(f.name)
            for f in self.schema
        ]
        return pa.Table.from_arrays(columns, schema=self.schema), changed


@dataclass(frozen=True)
class Lines:
    """Rows -> their lines in a text file, and why other rows have none.

    The lines are an Arrow array: from another process it comes as a mapped file, not through a pipe.
    """

    line: Callable[[Row], str]
    unusable: Callable[[Row], str | None]

    def __call__(self, piece: RowsPiece | Sequence[Row]) -> tuple[pa.Array, Counter[str]]:
        rows = _dicts(piece.read()) if isinstance(piece, RowsPiece) else piece
        lines: list[str] = []
        left_out: Counter[str] = Counter()
        for row in rows:
            if reason := self.unusable(row):
                left_out[reason] += 1
            else:
                lines.append(self.line(row))
        return pa.array(lines, pa.large_string()), left_out


def _dicts(rows: pa.RecordBatch) -> Iterator[Row]:
    for start in range(0, rows.num_rows, ROWS_HELD):
        yield from rows.slice(start, ROWS_HELD).to_pylist()


def lines_of(
    dataset: Dataset,
    line: Callable[[Row], str],
    unusable: Callable[[Row], str | None],
    left_out: Counter[str],
    folder: Path,
) -> Iterator[str]:
    """The lines of a version's rows, in their order; `left_out` counts the reasons of rows without one.

    `folder` is where they are written, with their images.
    """
    given = pieces(dataset, ROWS)
    with closing(shared_out(Lines(line, unusable), given, len(given), folder)) as made:
        for lines, reasons in made:
            left_out.update(reasons)
            yield from lines.to_pylist()


def embedded_groups(
    groups: Iterable[pa.RecordBatch],
    total: int,
    images: ImageStore,
    schema: pa.Schema,
    folder: Path,
    changed: set[str] | None = None,
) -> Iterator[pa.Table]:
    """Row groups with embedded images, for a file in `folder`; see `Embed`."""
    with closing(shared_out(Embed(images, schema), groups, total, folder)) as made:
        for table, others in made:
            if changed is not None:
                changed.update(others)
            yield table


def any_row(row: Row) -> None:
    """Accepts every row."""
