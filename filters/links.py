"""A chain's work on one piece of the rows, which any process can do on its own.

A chain is split into links: row filters, then the whole filters that directly follow them. In a link, a piece
of the rows goes through all the row filters at once, and is then reduced to a narrow view for each whole
filter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from vlt.filters.own_class import judged as judged_by
from vlt.filters.own_class import reporting_own_errors
from vlt.filters.protocol import Filter, Judgement, RowFilter, WholeFilter, is_whole
from vlt.workspace.manifest import key_sum
from vlt.workspace.pieces import RowsPiece
from vlt.workspace.reason import Reason
from vlt.workspace.row_group import Mask
from vlt.workspace.schema import KEYS
from vlt.workspace.writer import FAILED


@dataclass(frozen=True)
class Link:
    """Row filters, then the whole filters that directly follow them."""

    row: list[RowFilter]
    whole: list[WholeFilter]


@dataclass
class Spilled:
    """Rows on disk that a link's whole filters decide over, or have decided over."""

    file: Path
    """An Arrow file of one batch."""
    rows: int
    keep: Mask | None = None
    """[rows] which rows are kept."""

    @classmethod
    def write(cls, rows: pa.RecordBatch, folder: Path) -> Spilled:
        """Write the rows to a new file in this folder."""
        file = folder / f"rows-{uuid4().hex}.arrow"
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as spill:
            spill.write_batch(rows)
        return cls(file, rows.num_rows)

    def all(self) -> pa.RecordBatch:
        """All of the rows, memory-mapped from the file."""
        with pa.memory_map(str(self.file)) as source, pa.ipc.open_file(source) as spilled:
            return spilled.get_batch(0)

    def read(self) -> pa.RecordBatch:
        """The rows that are kept."""
        return self.all().filter(pa.array(self.keep))


Task = tuple[int, RowsPiece | Spilled]
"""The number of a link, and the rows that enter it."""


@dataclass
class Outcome:
    """What became of a piece in a link: the rows that go on, and those dropped by each filter."""

    rows: pa.RecordBatch | None
    """None if they are spilled."""
    dropped: list[tuple[str, pa.RecordBatch, Sequence[Reason]]] = field(default_factory=list)
    """(filter, or FAILED if it could not judge them; rows; why)"""
    rewritten: Counter[str] = field(default_factory=Counter)
    came: int = 0
    """Rows that entered the chain; 0 in later links."""
    keys: int = 0
    """Their `key_sum`."""
    sources: dict[str, int] = field(default_factory=dict)
    """How many of them come from each source."""
    views: list[pa.RecordBatch] = field(default_factory=list)
    """Of the rows that go on, one for each of the link's whole filters."""
    spilled: Spilled | None = None
    """The rows that go on, if the link has whole filters and there are any."""
    read: Path | None = None
    """The file that the piece was spilled to, which is no longer needed."""


@dataclass(frozen=True)
class Chain:
    """The job of a pool (see vlt.process_pool): a piece through one of the links."""

    links: list[Link]
    kind: str
    folder: Path
    """Where rows are spilled."""

    def __call__(self, task: Task) -> Outcome:
        """Reads the piece's rows and judges them."""
        number, piece = task
        link, rows = self.links[number], piece.read()
        outcome = through(rows, link.row)
        if isinstance(piece, Spilled):
            outcome.read = piece.file
        if number == 0:
            outcome.came = rows.num_rows
            outcome.keys = key_sum(rows.select(list(KEYS[self.kind])))
            outcome.sources = by_source(rows)
        if link.whole and outcome.rows:
            for filter in link.whole:
                with reporting_own_errors(filter):
                    outcome.views.append(filter.view(outcome.rows))
            outcome.spilled = Spilled.write(outcome.rows, self.folder)
        if link.whole:
            outcome.rows = None
        return outcome


def links_of(filters: Sequence[Filter]) -> list[Link]:
    """The chain split into links; one empty link if there are no filters."""
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
    """How many of the rows come from each source."""
    counts: Counter[str] = Counter()
    for pair in pc.value_counts(rows.column("source")):
        counts[pair["values"].as_py() or ""] += pair["counts"].as_py()
    return dict(counts)


def through(rows: pa.RecordBatch, filters: Sequence[RowFilter]) -> Outcome:
    """One batch through row filters."""
    outcome = Outcome(None)
    for filter in filters:
        if not rows.num_rows:
            break
        judged = judged_by(filter, rows)
        for column, values in judged.columns.items():
            rows = rows.set_column(rows.schema.get_field_index(column), column, values)
        if judged.rewritten:
            outcome.rewritten[filter.name] += judged.rewritten
        kept, dropped = _split(rows, judged)
        if dropped.num_rows:
            outcome.dropped.append((filter.name, dropped, judged.each_reason()))
        if judged.failed:
            failed = rows.take(pa.array(list(judged.failed)))
            outcome.dropped.append((FAILED, failed, list(judged.failed.values())))
        rows = kept
    outcome.rows = rows
    return outcome


def _split(rows: pa.RecordBatch, judged: Judgement) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The kept rows and the dropped ones; rows that could not be judged are in neither."""
    if judged.keep.all():
        return rows, rows.slice(0, 0)
    out = ~judged.keep
    out[list(judged.failed)] = False
    return rows.filter(pa.array(judged.keep)), rows.filter(pa.array(out))
