"""Run a chain of filters over samples: one new version, every row accounted for.

Row filters stream: a batch goes through all of them at once, in threads where they allow it. Before
a filter that must see everything, the rows are spilled to disk while their narrow views are kept;
once it has decided, they stream on.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain as joined
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.errors import UsageError
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.own_class import judged as judged_by
from vlt.filters.own_class import told
from vlt.filters.protocol import (
    Filter,
    Judgement,
    Prepares,
    RowFilter,
    WholeFilter,
    is_whole,
    settings,
)
from vlt.filters.registry import parse_chain
from vlt.filters.rules.not_cut import made_before, without_cut
from vlt.threads import map_in_order
from vlt.workspace.manifest import Stage
from vlt.workspace.reason import Reason
from vlt.workspace.schema import KINDS
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace
from vlt.workspace.writer import FAILED, Writer

BATCH = 5_000
"""Rows."""


@dataclass
class _Outcome:
    """What became of a batch: the rows that go on, and those taken out by each filter."""

    rows: pa.RecordBatch
    dropped: list[tuple[str, pa.RecordBatch, list[Reason]]] = field(default_factory=list)
    """(filter, or FAILED where it could not judge them; rows; why)"""
    rewritten: Counter[str] = field(default_factory=Counter)


def make_filtered(
    workspace: Workspace,
    samples: Dataset | Sequence[Dataset],
    *,
    chain: Sequence[Any],
    name: str = "sft",
    round: int | None = None,
    memory: str = "1GB",
    threads: int | None = None,
    keep_cut: bool = False,
) -> tuple[Dataset, bool]:
    """The version that `chain` leaves of the samples, and whether it was there already.

    Args:
        samples: One or several datasets of one kind; their rows in this order.
        chain: Filters, or what a recipe writes for them (see registry.py).
        memory: DuckDB's limit; beyond it, it spills to disk.
        threads: For row filters; the machine's cores by default.
        keep_cut: Keep samples that were cut at their length, which otherwise go.

    Raises UsageError where the chain and the rows do not fit.
    """
    parents = [samples] if isinstance(samples, Dataset) else list(samples)
    filters = parse_chain(chain)
    kind = _one_kind(parents, filters)
    asked, filters = filters, filters if keep_cut else without_cut(filters, kind)
    filters = [f.prepared(workspace, parents) if isinstance(f, Prepares) else f for f in filters]
    stage = Stage("filter", {"chain": [settings(filter) for filter in filters]})
    every = [*parents, *(d for f in filters for d in getattr(f, "references", ()))]
    if found := workspace.find(name, stage, every):
        return found, True
    if len(filters) > len(asked) and (found := made_before(workspace, name, stage, every)):
        return found, True
    with Writer(workspace, stage, name, kind, every, round=round, libraries=["duckdb"]) as writer:
        scratch = Scratch(writer.folder / "scratch", memory, threads or os.cpu_count() or 1)
        scratch.folder.mkdir()
        ledger = _Sources()
        rows: Iterable[pa.RecordBatch] = _incoming(parents, writer, ledger)
        for number, (row_filters, whole) in enumerate(_links(filters)):
            outcomes = _stream(rows, row_filters, scratch.threads)
            rows = _settled(outcomes, writer, ledger)
            if whole:
                rows = _decided(rows, whole, scratch, number, writer, ledger)
        for batch in rows:
            ledger.count("kept", batch)
            writer.keep(batch)
        writer.facts["by_source"] = ledger.as_json()
        shutil.rmtree(scratch.folder)
    return writer.dataset, False


def _one_kind(parents: Sequence[Dataset], filters: Sequence[Filter]) -> str:
    """The kind of all the parents; raises UsageError where they differ or lack a column."""
    if not parents:
        raise UsageError("filter was given no dataset; name at least one")
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


def _links(filters: Sequence[Filter]) -> list[tuple[list[RowFilter], list[WholeFilter]]]:
    """The chain as links: row filters, then the whole filters right behind them."""
    links: list[tuple[list[RowFilter], list[WholeFilter]]] = [([], [])]
    for filter in filters:
        if is_whole(filter):
            links[-1][1].append(filter)
        else:
            if links[-1][1]:
                links.append(([], []))
            links[-1][0].append(filter)  # type: ignore[arg-type]
    return links


class _Sources:
    """The ledger per source: rows in, taken out by each filter, kept."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def count(self, what: str, rows: pa.RecordBatch) -> None:
        for pair in pc.value_counts(rows.column("source")):
            source = pair["values"].as_py() or ""
            self._counts.setdefault(source, Counter())[what] += pair["counts"].as_py()

    def as_json(self) -> dict[str, dict[str, int]]:
        return {source: dict(counts) for source, counts in sorted(self._counts.items())}


def _incoming(
    parents: Sequence[Dataset], writer: Writer, ledger: _Sources
) -> Iterator[pa.RecordBatch]:
    for batch in joined.from_iterable(parent.batches(size=BATCH) for parent in parents):
        writer.expect(batch)
        ledger.count("in", batch)
        yield batch


def _stream(
    rows: Iterable[pa.RecordBatch], filters: Sequence[RowFilter], threads: int
) -> Iterator[_Outcome]:
    """Each batch through all the filters; outcomes in the order of the batches."""
    if not filters or not all(filter.threads for filter in filters):
        threads = 1
    yield from map_in_order(lambda batch: through(batch, filters), rows, threads, ahead=threads + 1)


def through(rows: pa.RecordBatch, filters: Sequence[RowFilter]) -> _Outcome:
    """One batch through row filters."""
    outcome = _Outcome(rows)
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


def _settled(
    outcomes: Iterable[_Outcome], writer: Writer, ledger: _Sources
) -> Iterator[pa.RecordBatch]:
    """Write down what was taken out; pass on the rest."""
    for outcome in outcomes:
        writer.rewritten += outcome.rewritten
        for name, dropped, reasons in outcome.dropped:
            ledger.count(name, dropped)
            if name == FAILED:
                writer.fail(dropped, reasons)
            else:
                writer.drop(dropped, name, reasons)
        if outcome.rows.num_rows:
            yield outcome.rows


def _decided(
    rows: Iterable[pa.RecordBatch],
    filters: Sequence[WholeFilter],
    scratch: Scratch,
    number: int,
    writer: Writer,
    ledger: _Sources,
) -> Iterator[pa.RecordBatch]:
    """Spill the rows, let the whole filters decide over their views, and stream what they leave."""
    file = scratch.folder / f"rows-{number}.arrow"
    views: list[list[pa.RecordBatch]] = [[] for _ in filters]
    schema = KINDS[writer.kind]
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, schema) as spill:
        for batch in rows:
            spill.write_batch(batch)
            for filter, view in zip(filters, views, strict=True):
                with told(filter):
                    view.append(filter.view(batch))
    by, reasons = _decisions(filters, views, scratch)
    at = 0
    with pa.OSFile(str(file), "rb") as source, pa.ipc.open_file(source) as spilled:
        for index in range(spilled.num_record_batches):
            batch = spilled.get_batch(index)
            here = by[at : at + batch.num_rows]
            at += batch.num_rows
            for place, filter in enumerate(filters):
                if (gone := here == place).any():
                    dropped = batch.filter(pa.array(gone))
                    ledger.count(filter.name, dropped)
                    why = list(islice(reasons[place], dropped.num_rows))
                    writer.drop(dropped, filter.name, why)
            if len(kept := batch.filter(pa.array(here < 0))):
                yield kept
    file.unlink()


def _decisions(
    filters: Sequence[WholeFilter], views: Sequence[list[pa.RecordBatch]], scratch: Scratch
) -> tuple[np.ndarray[Any, np.dtype[np.int8]], list[Iterator[Reason]]]:
    """(place of the filter that took out each row, -1 for none; each filter's reasons in order).

    A filter sees the rows that those before it have left.
    """
    rows = sum(len(view) for view in views[0])
    by = np.full(rows, -1, np.int8)
    reasons: list[Iterator[Reason]] = []
    for place, (filter, view) in enumerate(zip(filters, views, strict=True)):
        left = np.flatnonzero(by < 0)
        if not len(left):
            reasons.append(iter(()))
            continue
        table = pa.Table.from_batches(view)
        with told(filter):
            judged = filter.decide(
                table if len(left) == rows else table.take(pa.array(left)), scratch
            )
        view.clear()
        by[left[~judged.keep]] = place
        reasons.append(iter(judged.each_reason()))
    return by, reasons
