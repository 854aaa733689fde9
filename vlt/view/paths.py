"""The way of one item through the versions: those that its version was made from, and those made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vlt.view.rows import Rows
from vlt.workspace.lineage import ancestors
from vlt.workspace.store import Dataset, Store


@dataclass(frozen=True)
class Step:
    """One version on the way."""

    dataset: Dataset
    kept: int
    """Rows of the item that it holds."""
    dropped: list[tuple[int | None, str, str]]
    """(sample, filter, reason) of each row of the item that it took out."""
    rows_here: bool
    """False where the version is known by its manifest alone."""


def steps(store: Store, dataset: Dataset, row_id: str) -> Iterator[Step]:
    """Oldest first; versions of which the item was no part are left out."""
    holding: set[str] = set()
    for version in sorted(_related(store, dataset), key=lambda d: d.manifest.created):
        if version.kind == "checkpoint":
            data = [p.ref for p in version.manifest.parents if p.ref in holding]
            if data:
                yield Step(version, 0, [], True)
            continue
        if not version.files:
            yield Step(version, 0, [], False)
            continue
        gone = Rows(version, dropped=True)
        places = gone.of(row_id)
        why = gone.read(places, ["filter", "reason"])
        reasons = [
            (place.sample, row["filter"], row["reason"])
            for place, row in zip(places, why, strict=True)
        ]
        kept = len(Rows(version).of(row_id))
        if kept:
            holding.add(version.ref)
        if kept or reasons:
            yield Step(version, kept, reasons, True)


def _related(store: Store, dataset: Dataset) -> list[Dataset]:
    # What a model was made from says nothing of an item that was asked of it.
    walk = ancestors(store, dataset, through=lambda v: v.kind != "checkpoint", gone=True)
    found: dict[str, Dataset] = {}
    for each in walk:
        found.setdefault(each.dataset.ref, each.dataset)
    everything = store.all()
    below = {(dataset.ref, dataset.manifest.digest)}
    for version in everything:  # oldest first: parents stand before their children
        if any((p.ref, p.digest) in below for p in version.manifest.parents):
            found.setdefault(version.ref, version)
            if version.kind != "checkpoint":
                below.add((version.ref, version.manifest.digest))
    return list(found.values())
