"""Imports as tests write them: the settings of the import as keywords."""

from __future__ import annotations

from typing import Any

from vlt.datagen.sources import Import
from vlt.datagen.sources.items import make_items as make
from vlt.workspace.store import Dataset, Store


def make_items(
    store: Store, source: str, *, name: str | None = None, **settings: Any
) -> tuple[Dataset, bool]:
    """`make_items` of a source with fields of `Import`."""
    return make(store, Import(source=source, **settings), name=name)
