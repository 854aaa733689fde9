"""Benchmarks known by name, prepared as datasets of items under their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from vlt.datagen.benchmarks.catalog import BENCHMARKS, BY_NAME, Benchmark, Published
from vlt.datagen.import_settings import Import
from vlt.datagen.sources.items import make_items
from vlt.errors import UsageError, UserError
from vlt.workspace.store import Dataset, Store

__all__ = [
    "BENCHMARKS",
    "BY_NAME",
    "Benchmark",
    "Published",
    "benchmark_of",
    "check_prepared",
    "prepare_benchmark",
]


def prepare_benchmark(
    store: Store,
    name: str,
    path: str | Path | None = None,
    *,
    revision: str | None = None,
    image_root: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Dataset, bool]:
    """The benchmark's items as the dataset `name`, and whether it existed already.

    Without `path` (of a local copy) an existing version in the workspace is used, without contacting
    the Hub. Raises UsageError for an unknown name.
    """
    if name not in BY_NAME:
        raise UsageError(f"{name!r} is not a benchmark; there are {', '.join(BY_NAME)}")
    prepared = [
        version
        for version in store.versions(name)
        if version.manifest.facts.get("benchmark") == name and whole(version)
    ]
    if prepared and path is None and revision is None:
        return prepared[-1], True
    settings: dict[str, Any] = {} if path is None else {"path": str(path)}
    what = Import(source=name, revision=revision, settings=settings, image_root=image_root)
    return make_items(store, what, name=name, progress=progress)


def check_prepared(store: Store, names: Iterable[str]) -> None:
    """Raises UserError, with the command to run, for a benchmark that is not in the workspace."""
    for name in names:
        if name in BY_NAME and not store.versions(name):
            raise UserError(
                f"benchmark {name!r} is not in workspace {str(store.root)!r} yet; prepare it with "
                f"`vlt import {name}` (from a local copy: --set path=COPY)"
            )


def benchmark_of(items: Dataset) -> Benchmark | None:
    """The benchmark whose items these are."""
    return BY_NAME.get(items.manifest.facts.get("benchmark", ""))


def whole(items: Dataset) -> bool:
    """Whether the whole benchmark was prepared, without --limit, --sample or --where."""
    return not any(items.manifest.parameters.get(name) for name in ("limit", "sample", "where"))
