"""Drop duplicates.

An item is a duplicate if question, choices *and* images are the same: the same template question
about another picture is not (published datasets suffer from joins on question text alone). All
samples of an item are dropped with it, and samples of one item are not duplicates of each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.errors import UsageError
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.protocol import Judgement
from vlt.filters.text import normalised
from vlt.workspace.reason import Reason
from vlt.workspace.schema import ITEM

KEEP = {
    "first": "min_by(id, place)",
    "shortest": "min_by(id, (length, place))",
    "best": "min_by(id, (verdict, length, place))",
}
"""Which item of a cluster is kept: the first, the one with the shortest response, or the one with the best
verdict (correct, unjudged, wrong) and among those the shortest."""
_VERDICTS = pa.array(["correct", "unjudged", None, "wrong"])
_KEYS = ("0123456789abcdef", "fedcba9876543210")


def joined(rows: pa.RecordBatch, columns: tuple[str, ...]) -> pa.Array:
    """[n] these columns joined into one text: words normalised; lists in their order; images unchanged."""
    parts = []
    for name in columns:
        column = rows.column(name)
        if pa.types.is_list(column.type):
            flat = column.flatten()
            flat = flat if name == "images" else normalised(flat)
            sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
            offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
            column = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), flat), "\x1f")
        elif pa.types.is_string(column.type):
            column = normalised(column)
        else:
            column = pc.fill_null(column.cast(pa.string()), "")
        parts.append(column)
    return pc.binary_join_element_wise(*parts, "\x1e")


def hashed(texts: pa.Array) -> list[pa.Array]:
    """Two independent 64-bit hashes of each text, the same on every machine."""
    import pandas as pd

    values = texts.to_numpy(zero_copy_only=False)
    return [pa.array(pd.util.hash_array(values, hash_key=k, categorize=False)) for k in _KEYS]


@dataclass(frozen=True)
class Dedup:
    """Keeps one item of each cluster with the same normalised text and the same images."""

    name: ClassVar[str] = "dedup"
    columns: ClassVar[tuple[str, ...]] = ("id",)
    of_items: ClassVar[bool] = True

    on: tuple[str, ...] = ("question", "choices", "images")
    """Columns of an item that must be the same."""
    keep: str = "first"
    """Which item is kept: first, shortest (response) or best (verdict)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", tuple(self.on))
        if self.keep not in KEEP:
            raise UsageError(f"dedup: keep {self.keep!r} is not known; write {', '.join(KEEP)}")
        for column in self.on:
            if column not in ITEM.names:
                raise UsageError(
                    f"dedup: {column!r} is not a column of an item; write {', '.join(ITEM.names)}"
                )

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """id, the two halves of the key, and what `keep` needs."""
        first, second = hashed(joined(rows, self.on))
        columns = {"id": rows.column("id"), "first": first, "second": second}
        return pa.RecordBatch.from_pydict({**columns, **keep_columns(rows, self.keep)})

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:
        """The reason names the item that is kept, and the cluster by its key."""
        return kept_items(view, self.keep, f"same {', '.join(self.on)}", scratch)

    def duplicates(self, view: pa.Table, scratch: Scratch) -> pa.Table:
        """place, kept, cluster of each row to drop (see `duplicates`)."""
        return duplicates(view, self.keep, scratch)


def keep_columns(rows: pa.RecordBatch, keep: str) -> dict[str, pa.Array]:
    """What the policy `keep` chooses by: the response's length and the verdict's rank."""
    if keep == "first" or "response" not in rows.schema.names:
        return {}
    length = pc.utf8_length(pc.fill_null(rows.column("response"), ""))
    return {"length": length, "verdict": pc.index_in(rows.column("verdict"), _VERDICTS)}


def duplicates(view: pa.Table, keep: str, scratch: Scratch) -> pa.Table:
    """One item of each cluster (rows with the same `first` and, if present, `second`) is kept.

    For each other row: its place in the view, the id that is kept, and the cluster's name.
    """
    policy = KEEP[keep] if "length" in view.schema.names else KEEP["first"]
    keys = "first, second" if "second" in view.schema.names else "first"
    return scratch.query(
        f"""
        with clusters as (
            select {keys}, {policy} as kept from rows group by {keys} having min(id) != max(id)
        )
        select place, kept, format('{{:016x}}', first) as cluster
        from rows join clusters using ({keys}) where id != kept order by place
        """,
        rows=view.append_column("place", pa.array(np.arange(len(view)))),
    )


def kept_items(view: pa.Table, keep: str, reason: str, scratch: Scratch) -> Judgement:
    """Drops the `duplicates`; the reason names the item that is kept, and the cluster."""
    return without(view, duplicates(view, keep, scratch), reason)


def without(view: pa.Table, gone: pa.Table, reason: str) -> Judgement:
    """Drops the rows of `duplicates`."""
    keep = np.ones(len(view), bool)
    keep[gone["place"].to_numpy()] = False
    return Judgement(keep, _AsKept(reason, gone))


class _AsKept(Sequence[Reason]):
    """The reasons of the rows of `duplicates`, each made when it is asked for: there may be millions."""

    def __init__(self, kind: str, gone: pa.Table):
        self._kind, self._gone = kind, gone

    def __len__(self) -> int:
        return len(self._gone)

    @overload
    def __getitem__(self, place: int) -> Reason: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Reason]: ...
    def __getitem__(self, place: int | slice) -> Reason | Sequence[Reason]:
        if isinstance(place, slice):
            return _AsKept(self._kind, self._gone.take([*range(*place.indices(len(self)))]))
        (reason,) = _AsKept(self._kind, self._gone.take([place]))
        return reason

    def __iter__(self) -> Iterator[Reason]:
        for batch in self._gone.select(["kept", "cluster"]).to_batches(1_000):
            for kept, cluster in zip(
                *(column.to_pylist() for column in batch.columns), strict=True
            ):
                yield Reason(self._kind, f"as {kept}, cluster {cluster}")
