"""Images inspected in worker processes: the same findings, and no image lost with a process."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import pytest

from tests.imported import make_items
from tests.pictures import png
from vlt.images import pool as image_pool
from vlt.images.inspect import BadImage, Inspected, inspect_image
from vlt.images.pool import ImagePool
from vlt.workspace.store import Store


def named(*images: bytes) -> list[tuple[str, bytes]]:
    return [(hashlib.sha256(data).hexdigest(), data) for data in images]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use processes from the first image on."""
    monkeypatch.setattr(image_pool, "ALONE", 0)


def bmp() -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, "BMP")
    return out.getvalue()


@pytest.mark.usefixtures("at_once")
def test_the_same_as_here() -> None:
    good, cut, converted = png(1), png(2)[:200], bmp()
    with ImagePool(1) as pool:
        found = pool.inspect(named(good, cut, converted, b""))
    assert found[0] == inspect_image(good)
    assert found[2] == inspect_image(converted)
    assert isinstance(found[2], Inspected)
    assert found[2].converted
    for image, data in ((found[1], cut), (found[3], b"")):
        assert isinstance(image, BadImage)
        with pytest.raises(BadImage) as here:
            inspect_image(data)
        assert image.reason == here.value.reason


@pytest.mark.usefixtures("at_once")
def test_images_that_do_not_fit_into_the_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [png(i) for i in range(8)]
    monkeypatch.setattr(image_pool, "SHARED_BYTES", len(pictures[0]) + len(pictures[1]) + 10)
    with ImagePool(1) as pool:
        for _ in range(2):
            assert pool.inspect(named(*pictures)) == [inspect_image(data) for data in pictures]


@pytest.mark.usefixtures("at_once")
def test_a_process_that_dies_loses_nothing() -> None:
    with ImagePool(1) as pool:
        pool.inspect(named(png(0)))
        process = pool._free.get()
        assert process is not None
        os.kill(process.worker.process.pid, signal.SIGKILL)
        pool._free.put(process)
        found = pool.inspect(named(png(1), png(2)))
    assert found == [inspect_image(png(1)), inspect_image(png(2))]


@pytest.mark.usefixtures("at_once")
def test_an_image_that_kills_costs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies on a certain image, as with a decoder's bug."""
    ask = image_pool._Process.ask

    def deadly(process: image_pool._Process, images: list[tuple[str, bytes]]) -> object:
        if any(data == b"deadly" for _, data in images):
            os.kill(process.worker.process.pid, signal.SIGKILL)
        return ask(process, images)

    monkeypatch.setattr(image_pool._Process, "ask", deadly)
    with ImagePool(1) as pool:
        found = pool.inspect(named(png(1), b"deadly", png(2)))
    assert found[0] == inspect_image(png(1))
    assert found[2] == inspect_image(png(2))
    assert isinstance(found[1], BadImage)
    assert found[1].reason == "image brings its decoder down"


@pytest.mark.usefixtures("at_once")
def test_an_import_through_processes(workspace: Path, tmp_path: Path) -> None:
    import json

    rows = []
    for i in range(100):
        (tmp_path / f"{i}.png").write_bytes(png(i) if i % 10 else png(i)[:150])
        rows.append({"image": f"{i}.png", "question": f"q{i}?", "answer": str(i)})
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made, _ = make_items(Store(workspace), str(file))
    assert (made.manifest.rows, sum(made.manifest.failed.values())) == (90, 10)
    kept = made.table().to_pylist()
    assert [row["answer"] for row in kept] == [str(i) for i in range(100) if i % 10]
    for row in kept:
        picture = png(int(row["answer"]))
        assert row["images"] == [hashlib.sha256(picture).hexdigest()]
