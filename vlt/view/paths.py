"""One item's history: the versions that its version was made from, and those made from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vlt.view.rows import Rows
from vlt.workspace.lineage import ancestors
from vlt.workspace.store import Dataset, Store


@dataclass(frozen=True)
class Step:
    """One version in the history."""

    dataset: Dataset
    kept: int
    """How many rows of the item it has."""
    dropped: list[tuple[int | None, str, str]]
    """(sample, filter, reason) of each row of the item that it dropped."""
    rows_here: bool
    """False if only the version's manifest is in the workspace."""


def steps(store: Store, dataset: Dataset, row_id: str) -> Iterator[Step]:
    """Oldest first; versions without the item are left out."""
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
    # What a model was made from is irrelevant to an item that it was asked about.
    walk = ancestors(store, dataset, through=lambda v: v.kind != "checkpoint", gone=True)
    found: dict[str, Dataset] = {}
    for each in walk:
        found.setdefault(each.dataset.ref, each.dataset)
    everything = store.all()
    below = {(dataset.ref, dataset.manifest.digest)}
    for version in everything:  # oldest first: parents come before their children
        if any((p.ref, p.digest) in below for p in version.manifest.parents):
            found.setdefault(version.ref, version)
            if version.kind != "checkpoint":
                below.add((version.ref, version.manifest.digest))
    return list(found.values())
