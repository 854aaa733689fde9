"""Run a chain of filters over samples: one new version, every row accounted for.

Row filters stream: a piece of the rows goes through all of them at once, in this process or in a worker
process (see vlt.process_pool). Before a filter that must see all rows, the rows are spilled to disk and
only their narrow views are kept; once it has decided, in this process, they stream on. Kept and dropped
rows are written by this process in the rows' order, so the number of processes does not change the version.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, repeat
from typing import Any

import numpy as np
import pyarrow as pa

from vlt import cores
from vlt.errors import UsageError
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.links import Chain, Link, Outcome, Spilled, Task, by_source, links_of
from vlt.filters.own_class import reporting_own_errors
from vlt.filters.protocol import Filter, Prepares, WholeFilter, is_whole, settings
from vlt.filters.registry import parse_chain
from vlt.filters.rules.not_cut import made_before, with_not_cut
from vlt.filters.views import Views
from vlt.process_pool import ProcessPool
from vlt.workspace.manifest import Stage
from vlt.workspace.pieces import PIECE, RowsPiece
from vlt.workspace.pieces import pieces as pieces_of
from vlt.workspace.reason import Reason
from vlt.workspace.row_group import Mask, only
from vlt.workspace.schema import KINDS
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace
from vlt.workspace.writer import FAILED, Writer

BATCH = PIECE
"""Rows that go through a chain at once."""


def make_filtered(
    workspace: Workspace,
    samples: Dataset | Sequence[Dataset],
    *,
    chain: Sequence[Any],
    name: str = "sft",
    round: int | None = None,
    memory: str = "1GB",
    processes: int | None = None,
    keep_cut: bool = False,
) -> tuple[Dataset, bool]:
    """The version with the rows that `chain` keeps, and whether it existed already.

    Args:
        samples: One or several datasets of one kind; their rows in this order.
        chain: Filters, or how a recipe writes them (see registry.py).
        memory: DuckDB's limit; beyond it, DuckDB spills to disk.
        processes: Maximum number of processes, this one included; by default the setting (vlt.cores).
        keep_cut: Keep samples that were cut at the token limit, which are dropped otherwise.

    Raises UsageError if the chain does not fit the rows.
    """
    parents = [samples] if isinstance(samples, Dataset) else list(samples)
    filters = parse_chain(chain)
    kind = _one_kind(parents, filters)
    asked, filters = filters, filters if keep_cut else with_not_cut(filters, kind)
    filters = [f.prepared(workspace, parents) if isinstance(f, Prepares) else f for f in filters]
    stage = Stage("filter", {"chain": [settings(filter) for filter in filters]})
    every = [*parents, *(d for f in filters for d in getattr(f, "references", ()))]
    if found := workspace.find(name, stage, every):
        return found, True
    if len(filters) > len(asked) and (found := made_before(workspace, name, stage, every)):
        return found, True
    with Writer(workspace, stage, name, kind, every, round=round, libraries=["duckdb"]) as writer:
        most = cores.processes() if processes is None else processes
        scratch = Scratch(writer.folder / "scratch", memory, most)
        scratch.folder.mkdir()
        ledger, links = _Sources(), links_of(filters)
        pieces = [piece for parent in parents for piece in pieces_of(parent, BATCH)]
        job = Chain(links, kind, scratch.folder)
        with ProcessPool[Task, Outcome](job, scratch.folder, most) as pool:
            _write_kept(_kept(links, pieces, pool, scratch, writer, ledger), writer, ledger)
        writer.facts["by_source"] = ledger.as_json()
        writer.flush()  # NFS cannot remove a folder while a file in it is mapped
        shutil.rmtree(scratch.folder)
    return writer.dataset, False


def _one_kind(parents: Sequence[Dataset], filters: Sequence[Filter]) -> str:
    """The kind of all the parents; raises UsageError if they differ or lack a column."""
    if not parents:
        raise UsageError("filter needs a dataset; name at least one")
    kind = parents[0].kind
    for parent in parents:
        if parent.kind != kind or kind not in KINDS:
            raise UsageError(
                f"{parent.ref} holds {parent.kind}s and {parents[0].ref} {kind}s; a filter takes "
                "rows of one kind"
            )
    for filter in filters:
        for column in filter.columns:
            if column not in KINDS[kind].names and not (is_whole(filter) and column == "sample"):
                raise UsageError(
                    f"{filter.name} reads the column {column!r}, which {kind}s do not have; "
                    f"{parents[0].ref} has {', '.join(KINDS[kind].names)}"
                )
    return kind


class _Sources:
    """The ledger per source: rows in, dropped by each filter, kept."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def count(self, what: str, rows: pa.RecordBatch, where: Mask | None = None) -> None:
        self.add(what, by_source(only(rows.select(["source"]), where)))

    def add(self, what: str, sources: dict[str, int]) -> None:
        for source, rows in sources.items():
            self._counts.setdefault(source, Counter())[what] += rows

    def as_json(self) -> dict[str, dict[str, int]]:
        return {source: dict(counts) for source, counts in sorted(self._counts.items())}


def _write_kept(
    rows: Iterable[tuple[pa.RecordBatch, Mask | None]], writer: Writer, ledger: _Sources
) -> None:
    """Write these rows; none of them is held afterwards."""
    for batch, where in rows:
        ledger.count("kept", batch, where)
        writer.keep(batch, where)


def _kept(
    links: Sequence[Link],
    pieces: Sequence[RowsPiece],
    pool: ProcessPool[Task, Outcome],
    scratch: Scratch,
    writer: Writer,
    ledger: _Sources,
) -> Iterator[tuple[pa.RecordBatch, Mask | None]]:
    """The rows that pass all the links, or where these are; those dropped are written on the way."""
    given: Iterable[RowsPiece | Spilled] = pieces
    total = len(pieces)
    for number, link in enumerate(links):
        outcomes = _settled(pool.map(zip(repeat(number), given), total), writer, ledger)
        if not link.whole:
            yield from ((outcome.rows, None) for outcome in outcomes if outcome.rows)
            return
        views = [Views(scratch.folder) for _ in link.whole]
        spilled: list[Spilled] = []
        for outcome in outcomes:
            if outcome.spilled:
                spilled.append(outcome.spilled)
                for view, here in zip(views, outcome.views, strict=True):
                    view.add(here)
        total = len(spilled)
        given = _decided(spilled, views, link.whole, scratch, writer, ledger)
    for piece in given:
        assert isinstance(piece, Spilled), "the last link has whole filters"
        yield piece.all(), piece.keep
        piece.file.unlink()


def _settled(outcomes: Iterable[Outcome], writer: Writer, ledger: _Sources) -> Iterator[Outcome]:
    """Record what came in, write what was dropped, and pass the outcomes on."""
    for outcome in outcomes:
        if outcome.came:
            writer.expect_sum(outcome.came, outcome.keys)
            ledger.add("in", outcome.sources)
        if outcome.read:
            outcome.read.unlink()
        writer.rewritten += outcome.rewritten
        for name, dropped, reasons in outcome.dropped:
            ledger.count(name, dropped)
            if name == FAILED:
                writer.fail(dropped, reasons)
            else:
                writer.drop(dropped, name, reasons)
        yield outcome


def _decided(
    spilled: Sequence[Spilled],
    views: Sequence[Views],
    filters: Sequence[WholeFilter],
    scratch: Scratch,
    writer: Writer,
    ledger: _Sources,
) -> Iterator[Spilled]:
    """Let the whole filters decide over their views; the rows that they keep, batch by batch."""
    by, reasons = _decisions(filters, views, scratch)
    at = 0
    for piece in spilled:
        here = by[at : at + piece.rows]
        at += piece.rows
        batch = piece.all()
        for place, filter in enumerate(filters):
            if (gone := here == place).any():
                ledger.count(filter.name, batch, gone)
                why = list(islice(reasons[place], int(gone.sum())))
                writer.drop(batch, filter.name, why, gone)
        if (keep := here < 0).any():
            yield replace(piece, keep=keep)
        else:
            piece.file.unlink()


def _decisions(
    filters: Sequence[WholeFilter], views: Sequence[Views], scratch: Scratch
) -> tuple[np.ndarray[Any, np.dtype[np.int8]], list[Iterator[Reason]]]:
    """(index of the filter that dropped each row, -1 for none; each filter's reasons in order).

    A filter sees only the rows that the filters before it kept.
    """
    rows = views[0].rows
    by = np.full(rows, -1, np.int8)
    reasons: list[Iterator[Reason]] = []
    for place, (filter, view) in enumerate(zip(filters, views, strict=True)):
        left = np.flatnonzero(by < 0)
        if not len(left):
            reasons.append(iter(()))
            continue
        table = view.table()
        with reporting_own_errors(filter):
            judged = filter.decide(
                table if len(left) == rows else table.take(pa.array(left)), scratch
            )
        del table
        by[left[~judged.keep]] = place
        reasons.append(iter(judged.each_reason()))
    return by, reasons
