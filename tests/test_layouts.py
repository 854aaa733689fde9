"""Every layout of tests/layout_files.py is imported correctly: question, choices, gold, images, id."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.imported import make_items
from tests.layout_files import LAYOUTS
from tests.pictures import png
from vlt.images.store import ImageStore
from vlt.workspace.schema import item_id
from vlt.workspace.store import Store


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    layout = LAYOUTS[name](tmp_path / "data")
    store = Store(tmp_path / "workspace")
    made, existed = make_items(store, str(layout.source), **layout.settings)
    assert not existed
    assert (made.manifest.failed, made.manifest.dropped) == ({}, {})
    rows = made.table().to_pylist()
    found = [(r["question"], r["choices"], r["answer"], r["images"]) for r in rows]
    hashes = [hashlib.sha256(png(number)).hexdigest() for number in range(3)]
    assert found == [
        (question, choices, gold, [hashes[number] for number in images])
        for question, choices, gold, images in layout.items
    ]
    for row in rows:
        assert row["id"] == item_id(
            row["source"], row["question"], row["choices"], row["answer"], row["images"]
        )
        assert row["answer_type"] == "choice" if row["choices"] else row["answer_type"] != "choice"
    with ImageStore(store.images_folder) as images:
        for row, (*_, numbers) in zip(rows, layout.items, strict=True):
            assert [images.read(sha256) for sha256 in row["images"]] == [png(n) for n in numbers]
    assert make_items(store, str(layout.source), **layout.settings)[1], "the same import again"
