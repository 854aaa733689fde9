"""A chain's work on one piece of the rows, which any process can do by itself.

A chain is parted into links: row filters, then the whole filters right behind them. Of a link, a piece of
the rows goes through all the row filters at once, and for the whole filters it is boiled down to its
narrow views.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vlt.filters.own_class import judged as judged_by
from vlt.filters.own_class import told
from vlt.filters.protocol import Filter, Judgement, Mask, RowFilter, WholeFilter, is_whole
from vlt.workspace.manifest import key_sum
from vlt.workspace.pieces import RowsPiece
from vlt.workspace.reason import Reason
from vlt.workspace.schema import KEYS
from vlt.workspace.writer import FAILED


@dataclass(frozen=True)
class Link:
    """Row filters, then the whole filters right behind them."""

    row: list[RowFilter]
    whole: list[WholeFilter]

    def __bool__(self) -> bool:
        return bool(self.row or self.whole)


@dataclass
class Spilled:
    """Rows on disk that a link's whole filters have decided over."""

    file: Path
    """An Arrow file."""
    batch: int
    keep: Mask
    """[rows of the batch]"""
    rows: pa.RecordBatch | None = None
    """Those that stay, where this process has read them; they do not go to another."""

    def read(self) -> pa.RecordBatch:
        """The rows that stay."""
        if self.rows is not None:
            return self.rows
        with pa.OSFile(str(self.file), "rb") as source, pa.ipc.open_file(source) as spilled:
            return spilled.get_batch(self.batch).filter(pa.array(self.keep))

    def __reduce__(self) -> Any:
        return Spilled, (self.file, self.batch, self.keep)


Task = tuple[int, RowsPiece | Spilled]
"""The number of a link, and rows that come to it."""


@dataclass
class Outcome:
    """What became of a piece in a link: the rows that go on, and those taken out by each filter."""

    rows: pa.RecordBatch
    dropped: list[tuple[str, pa.RecordBatch, list[Reason]]] = field(default_factory=list)
    """(filter, or FAILED where it could not judge them; rows; why)"""
    rewritten: Counter[str] = field(default_factory=Counter)
    came: int = 0
    """Rows that came in, to the first link."""
    keys: int = 0
    """Their `key_sum`."""
    sources: dict[str, int] = field(default_factory=dict)
    """How many of them each source has."""
    views: list[pa.RecordBatch] = field(default_factory=list)
    """Of the rows that go on, one for each of the link's whole filters."""


@dataclass(frozen=True)
class Chain:
    """The job of a pool (see vlt.process_pool): a piece through one of the links."""

    links: list[Link]
    kind: str

    def __call__(self, task: Task) -> Outcome:
        """Reads the piece's rows and judges them."""
        number, piece = task
        link, rows = self.links[number], piece.read()
        outcome = through(rows, link.row)
        if number == 0:
            outcome.came = rows.num_rows
            outcome.keys = key_sum(rows.select(list(KEYS[self.kind])))
            outcome.sources = by_source(rows)
        for filter in link.whole:
            with told(filter):
                outcome.views.append(filter.view(outcome.rows))
        return outcome


def links_of(filters: Sequence[Filter]) -> list[Link]:
    """The chain in links; one without filters where there are none."""
    links = [Link([], [])]
    for filter in filters:
        if is_whole(filter):
            links[-1].whole.append(filter)
        else:
            if links[-1].whole:
                links.append(Link([], []))
            links[-1].row.append(filter)  # type: ignore[arg-type]
    return links


def by_source(rows: pa.RecordBatch) -> dict[str, int]:
    """How many of the rows each source has."""
    counts: Counter[str] = Counter()
    for pair in pc.value_counts(rows.column("source")):
        counts[pair["values"].as_py() or ""] += pair["counts"].as_py()
    return dict(counts)


def through(rows: pa.RecordBatch, filters: Sequence[RowFilter]) -> Outcome:
    """One batch through row filters."""
    outcome = Outcome(rows)
    for filter in filters:
        if not rows.num_rows:
            break
        judged = judged_by(filter, rows)
        for column, values in judged.columns.items():
            rows = rows.set_column(rows.schema.get_field_index(column), column, values)
        if judged.rewritten:
            outcome.rewritten[filter.name] += judged.rewritten
        kept, dropped = _parted(rows, judged)
        if dropped.num_rows:
            outcome.dropped.append((filter.name, dropped, judged.each_reason()))
        if judged.failed:
            failed = rows.take(pa.array(list(judged.failed)))
            outcome.dropped.append((FAILED, failed, list(judged.failed.values())))
        rows = kept
    outcome.rows = rows
    return outcome


def _parted(rows: pa.RecordBatch, judged: Judgement) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The rows that stay, and those taken out; not those that could not be judged."""
    if judged.keep.all():
        return rows, rows.slice(0, 0)
    out = ~judged.keep
    out[list(judged.failed)] = False
    return rows.filter(pa.array(judged.keep)), rows.filter(pa.array(out))
