"""Several item datasets as one, in the given order; an item in more than one of them is taken once.

With `sample`, a part of them: the draw depends only on the seed and the items' ids, not on their
order, so a larger sample with the same seed includes the smaller one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer


def make_mix(
    store: Store,
    parents: Sequence[Dataset],
    *,
    sample: int | None = None,
    seed: int = 0,
    name: str = "items",
    round: int | None = None,
) -> tuple[Dataset, bool]:
    """The items of all parents, or `sample` of them; returns the version and whether it existed already.

    A repeated id means the same item (ids are digests of the content), so repeats do not count as
    rows that came in. Items that were not drawn are among the dropped rows.
    """
    stage = Stage("mix", {"sample": sample, "seed": seed if sample is not None else None})
    found = store.find(name, stage, parents)
    if found:
        return found, True
    drawn = None if sample is None else _draw(parents, sample, seed)
    with Writer(store, stage, name, "item", parents, round=round) as writer:
        for rows in _distinct(parents):
            writer.expect(rows)
            if drawn is None:
                writer.keep(rows)
                continue
            is_drawn = pa.array([i in drawn for i in rows.column("id").to_pylist()], pa.bool_())
            writer.keep(pc.filter(rows, is_drawn))
            rest = pc.filter(rows, pc.invert(is_drawn))
            writer.drop(rest, "sample", ["not drawn"] * rest.num_rows)
    return writer.dataset, False


def _distinct(parents: Sequence[Dataset]) -> Iterator[pa.RecordBatch]:
    met: set[str] = set()
    for parent in parents:
        for batch in parent.batches():
            ids = batch.column("id").to_pylist()
            new = pa.array([i not in met for i in ids], pa.bool_())
            met.update(ids)
            yield pc.filter(batch, new)


def _draw(parents: Sequence[Dataset], sample: int, seed: int) -> set[str]:
    ids = {i for p in parents for b in p.batches(["id"]) for i in b.column("id").to_pylist()}
    ranked = sorted(ids, key=lambda i: hashlib.blake2b(f"{seed}:{i}".encode()).digest())
    return set(ranked[:sample])
