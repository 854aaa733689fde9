"""The image store: what is accepted, where it is stored, and what survives a kill."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.pictures import animation, bomb, encoded, picture, png, sixteen_bits, turned_jpeg
from vlt.errors import UserError
from vlt.images.inspect import distance
from vlt.images.store import BadImage, ImageStore, inspect_image

ROOT = Path(__file__).parents[1]


def test_images_come_back_byte_for_byte(tmp_path: Path) -> None:
    images = [encoded(picture(i), "JPEG" if i % 2 else "PNG") for i in range(40)]
    with ImageStore(tmp_path) as store:
        keys = [store.add(data) for data in images]
        assert store.read(keys[3]) == images[3]  # even before the pack is complete
        assert [store.add(data) for data in images] == keys
    assert keys == [hashlib.sha256(data).hexdigest() for data in images]
    with ImageStore(tmp_path) as store:
        assert [store.read(key) for key in keys] == images
        assert len(store) == 40
        assert all(key in store for key in keys)
        assert "0" * 64 not in store
        info = store.info(keys[1])
        assert (info.width, info.height, info.format) == (120, 90, "JPEG")
        assert info.bytes == len(images[1])
        with pytest.raises(UserError, match="import its source again"):
            store.read("0" * 64)
        with pytest.raises(UserError):
            store.read("no hash at all")


def test_many_row_groups_and_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlt.images.pack.GROUP_IMAGES", 7)
    monkeypatch.setattr("vlt.images.store.PACK_BYTES", 40_000)
    images = [encoded(picture(i, (20 + i, 30))) for i in range(60)]
    with ImageStore(tmp_path) as store:
        keys = [store.add(data) for data in images]
        assert [store.read(key) for key in keys] == images
    assert len(store.packs) > 2
    groups = 0
    for pack in store.packs:
        with pq.ParquetFile(pack) as opened:
            groups += opened.num_row_groups
            column = opened.metadata.row_group(0).column(6)
            assert (column.path_in_schema, column.compression) == ("bytes", "UNCOMPRESSED")
            assert not column.has_dictionary_page
    assert groups > len(store.packs)
    rows = [row for pack in store.packs for row in pq.read_table(pack).to_pylist()]
    assert {row["sha256"]: row["bytes"] for row in rows} == dict(zip(keys, images, strict=True))


@pytest.mark.parametrize("damage", ["lost", "broken", "behind"])
def test_the_index_is_made_again_from_the_packs(tmp_path: Path, damage: str) -> None:
    with ImageStore(tmp_path) as store:
        keys = [store.add(encoded(picture(i))) for i in range(5)]
    index = tmp_path / "index.sqlite"
    if damage == "lost":
        index.unlink()
    elif damage == "broken":
        index.write_bytes(b"no database" * 1000)
    else:  # as when a process died between its pack and the index
        store._index.__init__(index)  # type: ignore[misc]
        store._index.forget(store.packs[0].name)
        store._index.close()
    with ImageStore(tmp_path) as store:
        assert [hashlib.sha256(store.read(key)).hexdigest() for key in keys] == keys


def test_a_lost_pack_takes_only_its_own_images(tmp_path: Path) -> None:
    one, two = ImageStore(tmp_path), ImageStore(tmp_path)
    shared, alone = encoded(picture(1)), encoded(picture(2))
    keys = [one.add(shared), two.add(shared), two.add(alone)]
    one.close()
    two.close()
    first = min(store_pack for store_pack in tmp_path.glob("pack-*"))
    first.unlink()
    with ImageStore(tmp_path) as store:
        assert store.read(keys[0]) == shared
        assert store.read(keys[2]) == alone


def test_several_processes_add_at_once_and_a_kill_breaks_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from tests.pictures import picture, encoded\n"
        "from vlt.images.store import ImageStore\n"
        "store = ImageStore(sys.argv[1])\n"
        "for i in range(int(sys.argv[2]), int(sys.argv[3])):\n"
        "    store.add(encoded(picture(i)))\n"
        "    if i % 10 == 9: store.flush()\n"
        "print('added', flush=True)\n"
        "time.sleep(float(sys.argv[4]))\n"
        "store.close()\n"
    )

    def start(first: int, last: int, wait: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(tmp_path), str(first), str(last), str(wait)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT
        )

    ends, killed = [start(0, 30, 0), start(10, 45, 0)], start(60, 75, 60)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "added\n"
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    for process in ends:
        process.communicate()
        assert process.returncode == 0
    assert len(list(tmp_path.glob(".pack-*"))) == 1
    for part in tmp_path.glob(".pack-*"):
        os.utime(part, (time.time() - 3600,) * 2)
    with ImageStore(tmp_path) as store:
        assert not list(tmp_path.glob(".pack-*"))
        for i in [*range(45), *range(60, 70)]:  # what the killed one had flushed is there
            data = encoded(picture(i))
            assert store.read(hashlib.sha256(data).hexdigest()) == data
        assert len(store) == 55


def test_perceptual_hash_survives_scaling_and_compression() -> None:
    hashes = [inspect_image(encoded(picture(i, (400, 300)))).info.phash for i in range(30)]
    for seed, hash in enumerate(hashes):
        image = picture(seed, (400, 300))
        for changed in (
            encoded(image, "JPEG", quality=40),
            encoded(image.resize((200, 150))),
            encoded(image.resize((640, 480)), "WEBP", quality=60),
        ):
            assert distance(hash, inspect_image(changed).info.phash) <= 8
    apart = [distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(apart) > 12


def test_a_turned_image_is_kept_upright() -> None:
    found = inspect_image(turned_jpeg())
    assert found.converted
    assert (found.info.width, found.info.height) == (90, 120)
    image = Image.open(io.BytesIO(found.data))
    assert image.size == (90, 120)
    assert image.getexif().get(0x0112, 1) == 1
    upright = picture(3).rotate(-90, expand=True)
    assert np.abs(np.asarray(image, int) - np.asarray(upright, int)).mean() < 4


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (encoded(picture(mode="CMYK"), "JPEG"), "JPEG"),
        (encoded(picture(mode="CMYK"), "TIFF"), "PNG"),
        (encoded(picture(), "BMP"), "PNG"),
        (encoded(picture(), "TIFF"), "PNG"),
        (encoded(picture(mode="L"), "GIF"), "PNG"),
    ],
)
def test_what_not_everyone_reads_is_converted(data: bytes, format: str) -> None:
    found = inspect_image(data)
    assert found.converted
    assert found.info.format == format
    image = Image.open(io.BytesIO(found.data))
    assert image.mode in ("RGB", "L", "P")
    apart = np.asarray(image.convert("L"), int) - np.asarray(picture(mode="L"), int)
    assert np.abs(apart).mean() < 4


def test_sixteen_bits_become_eight() -> None:
    ramp = np.asarray(sixteen_bits())
    found = inspect_image(encoded(sixteen_bits()))
    values = np.asarray(Image.open(io.BytesIO(found.data)))
    assert values.dtype == np.uint8
    assert (values.min(), values.max()) == (0, 255)
    assert np.abs(values.astype(int) - ramp // 257).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_usual_pngs_are_kept_to_the_byte(mode: str) -> None:
    data = encoded(picture(mode=mode))
    assert inspect_image(data).data == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "image is empty"),
        (b"not an image", "image does not decode"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, "image does not decode"),
        (encoded(picture(), "JPEG")[:-200], "image does not decode"),
        (encoded(picture())[:2000], "image does not decode"),
        (encoded(picture())[:40], "image does not decode"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image does not decode"),
        (b"%PDF-1.7\n", "image does not decode"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "image does not decode"),
        (animation("GIF"), "image is animated"),
        (animation("PNG"), "image is animated"),
        (animation("WEBP"), "image is animated"),
        (animation("TIFF"), "image has several pages"),
        (bomb(), "image has too many pixels"),
        (encoded(Image.new("L", (1, 30_000))), "image is too narrow"),
        (b"\0" * (33 << 20), "image file is too big"),
    ],
)
def test_what_cannot_be_taken_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage) as caught:
        inspect_image(data)
    assert caught.value.reason.startswith(reason)


def test_a_table_read_while_it_was_written_is_not_believed(tmp_path: Path) -> None:
    """The pack's name has come to the disk, its images have not: many threads read them all the same."""
    import sqlite3
    from concurrent.futures import ThreadPoolExecutor

    with ImageStore(tmp_path / "images") as store:
        shas = [store.add(png(seed)) for seed in range(20)]
    with sqlite3.connect(tmp_path / "images" / "index.sqlite") as torn:
        torn.execute("DELETE FROM images")
    torn.close()
    with ImageStore(tmp_path / "images", read_only=True) as store, ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(store.read, shas * 20))) == 20


def test_threads_read_what_was_just_added(tmp_path: Path) -> None:
    """The first read completes the pack in the making; the others wait until it can be read."""
    from concurrent.futures import ThreadPoolExecutor

    for turn in range(10):
        folder = tmp_path / str(turn)
        with ImageStore(folder) as store, ThreadPoolExecutor(8) as pool:
            shas = [store.add(png(seed)) for seed in range(20)]
            assert len(set(pool.map(store.read, shas * 20))) == 20
            assert len(store.packs) == 1
