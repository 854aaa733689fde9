"""The origin of a version, and of one of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vlt.errors import UserError
from vlt.workspace.manifest import Manifest, Parent
from vlt.workspace.query import rows_of
from vlt.workspace.store import Dataset, Store

LINEAGE = "lineage"
"""In the provenance of a pulled version: the manifests of all its ancestors, <ref>.json."""


@dataclass(frozen=True)
class Ancestor:
    """An ancestor of a version; `depth` 0 is the version itself."""

    dataset: Dataset
    depth: int
    again: bool
    """Whether it was yielded before, with its parents, under another child."""


def ancestors(
    store: Store,
    dataset: Dataset,
    *,
    through: Callable[[Dataset], bool] | None = None,
    gone: bool = False,
) -> Iterator[Ancestor]:
    """The version and all its ancestors, depth first, without recursion: lineages may be long.

    Args:
        through: Which versions to visit; ancestors reachable only through others are not visited.
        gone: Whether missing parents are skipped; otherwise they raise UserError.
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
                    f"{parent.ref}, from which {version.ref} was made, is no longer in workspace "
                    f"{str(store.root)!r}; `vlt ls` lists the versions"
                )
            if found and (through is None or through(found)):
                waiting.append((found, depth + 1))


def made_from(store: Store, dataset: Dataset) -> list[Dataset]:
    """The ancestors of a version, each once, oldest first; missing ones are left out."""
    walk = ancestors(store, dataset, gone=True)
    met = [each.dataset for each in walk if not each.again and each.depth]
    return sorted(met, key=lambda version: version.manifest.created)


def fair_samples(store: Store, dataset: Dataset) -> int | None:
    """k, if further samples were drawn only for items not yet solved (--until-correct), else None.

    The first k of each item were drawn unconditionally: only they give an unbiased pass rate.
    """
    for each in ancestors(store, dataset, through=lambda v: v.kind == "sample", gone=True):
        parameters = each.dataset.manifest.parameters
        if each.dataset.kind == "sample" and "until_correct" in parameters:
            return int(parameters["k"])
    return None


def parent_of(store: Store, child: Dataset, parent: Parent) -> Dataset | None:
    """The version from which a child was made, or None if it is missing.

    A pulled version has its ancestors' manifests in the folder lineage/ of its provenance; they represent
    versions (without rows) that this workspace never had.
    """
    for version in store.versions(parent.name):
        if version.manifest.version == parent.version and version.manifest.digest == parent.digest:
            return version
    folder = child.provenance if child.provenance.name == LINEAGE else child.provenance / LINEAGE
    file = folder / f"{parent.ref}.json"
    return Dataset(folder, Manifest.read(file), folder) if file.is_file() else None


def trace(store: Store, dataset: Dataset, row_id: str) -> list[dict[str, Any]]:
    """The rows of one item, kept or dropped, in each version of the lineage, newest first.

    `row_id` may be the start of an id. Raises UserError if the version has no such row.
    """
    ids = {row["id"] for row in rows_of(dataset, where=_starts(row_id), columns="id", limit=None)}
    ids |= {
        row["id"]
        for row in rows_of(dataset, where=_starts(row_id), columns="id", limit=None, dropped=True)
    }
    if len(ids) != 1:
        found = (
            f"{len(ids)} rows start with it; give more of the id" if ids else "it has no such row"
        )
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
