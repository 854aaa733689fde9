"""Where a version came from, and where one row of it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vlt.errors import UserError
from vlt.workspace.manifest import Manifest, Parent
from vlt.workspace.query import rows_of
from vlt.workspace.store import Dataset, Store

LINEAGE = "lineage"
"""In the provenance of a pulled version: the manifests of all that it was made from, <ref>.json."""


@dataclass(frozen=True)
class Ancestor:
    """A version on the way back from another; `depth` 0 is the version itself."""

    dataset: Dataset
    depth: int
    again: bool
    """Its own parents were shown before, under another child."""


def ancestors(
    store: Store,
    dataset: Dataset,
    *,
    through: Callable[[Dataset], bool] | None = None,
    gone: bool = False,
) -> Iterator[Ancestor]:
    """The version and all it was made from, depth first, without recursion: lineages may be long.

    Args:
        through: Which versions are met at all; what only others lead to is not met either.
        gone: Whether a parent may be gone, which is then left out; else it raises UserError.
    """
    met: set[tuple[str, str]] = set()
    waiting = [(dataset, 0)]
    while waiting:
        version, depth = waiting.pop()
        key = version.ref, version.manifest.digest
        again = key in met
        met.add(key)
        yield Ancestor(version, depth, again)
        if again:
            continue
        for parent in reversed(version.manifest.parents):
            found = parent_of(store, version, parent)
            if not found and not gone:
                raise UserError(
                    f"{parent.ref}, which {version.ref} was made from, is not in workspace "
                    f"{str(store.root)!r} any more; `vlt ls` shows what is"
                )
            if found and (through is None or through(found)):
                waiting.append((found, depth + 1))


def made_from(store: Store, dataset: Dataset) -> list[Dataset]:
    """What a version was made from, each once, oldest first; those that are gone are left out."""
    walk = ancestors(store, dataset, gone=True)
    met = [each.dataset for each in walk if not each.again and each.depth]
    return sorted(met, key=lambda version: version.manifest.created)


def fair_samples(store: Store, dataset: Dataset) -> int | None:
    """k where further samples were drawn only of items not yet solved (--until-correct), else None.

    The first k of each item were drawn whatever came of them: only they give an unbiased pass rate.
    """
    for each in ancestors(store, dataset, through=lambda v: v.kind == "sample", gone=True):
        parameters = each.dataset.manifest.parameters
        if each.dataset.kind == "sample" and "until_correct" in parameters:
            return int(parameters["k"])
    return None


def parent_of(store: Store, child: Dataset, parent: Parent) -> Dataset | None:
    """The version that a child was made from, or None where it is gone.

    A version that was pulled from elsewhere brings its ancestors' manifests in the folder lineage/ of its
    provenance; they stand for versions (without rows) that this workspace never had.
    """
    for version in store.versions(parent.name):
        if version.manifest.version == parent.version and version.manifest.digest == parent.digest:
            return version
    folder = child.provenance if child.provenance.name == LINEAGE else child.provenance / LINEAGE
    file = folder / f"{parent.ref}.json"
    return Dataset(folder, Manifest.read(file), folder) if file.is_file() else None


def trace(store: Store, dataset: Dataset, row_id: str) -> list[dict[str, Any]]:
    """What each version on the way holds of one item: its rows, kept or dropped, newest first.

    `row_id` may be the beginning of an id. Raises UserError where the version has no such row.
    """
    ids = {row["id"] for row in rows_of(dataset, where=_starts(row_id), columns="id", limit=None)}
    ids |= {
        row["id"]
        for row in rows_of(dataset, where=_starts(row_id), columns="id", limit=None, dropped=True)
    }
    if len(ids) != 1:
        found = f"{len(ids)} rows begin with it" if ids else "it has no such row"
        raise UserError(f"--id {row_id!r} does not name one row of {dataset.ref}: {found}")
    (whole,) = ids
    found_rows = []
    for ancestor in ancestors(store, dataset):
        if ancestor.again or ancestor.dataset.kind == "checkpoint":
            continue
        for dropped in (False, True):
            rows = rows_of(ancestor.dataset, where=f"id = '{whole}'", limit=None, dropped=dropped)
            found_rows += [
                {"version": ancestor.dataset.ref, "stage": ancestor.dataset.manifest.stage, **row}
                for row in rows
            ]
    return found_rows


def _starts(row_id: str) -> str:
    return "starts_with(id, '" + row_id.replace("'", "''") + "')"
