"""Exports hold what is in the workspace, as their readers read them."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from tests.cli import vlt, vlt_error, vlt_json
from tests.imported import make_items
from tests.pictures import picture, png, turned_jpeg
from tests.rows import dataset, item, sample
from vlt.datagen.export.files import parquet_shards, plan_shards
from vlt.datagen.export.trainers import with_placeholders
from vlt.images.decode import flattened
from vlt.images.store import ImageStore
from vlt.workspace.store import Dataset, Store


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store(workspace)


def items_with(store: Store, images: ImageStore, n: int, each: int = 1) -> list[dict[str, Any]]:
    rows = []
    for i in range(n):
        hashes = [images.add(png(100 * i + j)) for j in range(each)]
        rows.append(
            item(
                f"How many in picture {i}?",
                str(i),
                images=hashes,
                choices=["1", "2"] if i == 1 else [],
            )
        )
    assert store.root.exists()
    return rows


def samples(store: Store, n: int = 4, each: int = 1) -> Dataset:
    with ImageStore(store.images_folder) as images:
        rows = items_with(store, images, n, each)
    responses = [
        sample(
            f"<think>so</think> <answer>{i}</answer>", index, of=row, model="m", verdict="correct"
        )
        for i, row in enumerate(rows)
        for index in range(2)
    ]
    return dataset(store, "sft", "sample", responses)


def decoded(rows: Any) -> list[dict[str, Any]]:
    return [{**row, "images": [image.tobytes() for image in row["images"]]} for row in rows]


def test_parquet_loads_with_images_decoded(store: Store, tmp_path: Path) -> None:
    from datasets import Image as ImageFeature
    from datasets import List, load_dataset

    made = samples(store, each=2)
    done = vlt_json("export", "sft", "--to", tmp_path / "out", "-w", store.root)
    assert done["left_out"] == {}
    loaded = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["images"] == List(ImageFeature())
    rows = made.table().to_pylist()
    assert loaded.column_names == made.schema.names
    for got, row in zip(loaded, rows, strict=True):
        assert {k: v for k, v in got.items() if k != "images"} == {
            k: v for k, v in row.items() if k != "images"
        }
        with ImageStore(store.images_folder) as images:
            wanted = [Image.open(io.BytesIO(images.read(sha))) for sha in row["images"]]
        assert [i.tobytes() for i in got["images"]] == [i.tobytes() for i in wanted]


def test_parquet_holds_the_very_bytes_and_null_columns_keep_their_type(
    store: Store, tmp_path: Path
) -> None:
    made = samples(store)
    (file,) = list(parquet_shards(made, ImageStore(store.images_folder), tmp_path))
    table = pq.read_table(file)
    for row in table.to_pylist():
        for cell in row["images"]:
            assert cell["path"] == hashlib.sha256(cell["bytes"]).hexdigest() + ".png"
    assert str(table.schema.field("cut").type) == "string"
    assert table.column("cut").null_count == table.num_rows


def test_shards_are_cut_by_size_and_are_always_the_same(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlt.datagen.export.files.GROUP_ROWS", 3)
    made = samples(store, n=25)
    with ImageStore(store.images_folder) as images:
        plan = plan_shards(made, images, size=120_000)
        first = list(parquet_shards(made, images, tmp_path / "a", size=120_000))
        second = list(parquet_shards(made, images, tmp_path / "b", size=120_000))
    assert len(plan) == len(first) > 2
    assert [f.name for f in first][:1] == [f"train-00000-of-{len(first):05d}.parquet"]
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]
    assert [pq.read_metadata(f).num_rows for f in first] == [shard.rows for shard in plan]
    ids = [(r["id"], r["sample"]) for f in first for r in pq.read_table(f).to_pylist()]
    assert ids == [(r["id"], r["sample"]) for r in made.table().to_pylist()]
    with ImageStore(store.images_folder) as images:  # fewer shards into the same folder
        (one,) = list(parquet_shards(made, images, tmp_path / "a"))
    assert list((tmp_path / "a").iterdir()) == [one]


def test_jsonl_is_read_back_by_import(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(1))
    (tmp_path / "y.jpg").write_bytes(turned_jpeg())
    lines = [
        {
            "image": ["x.png", "y.jpg"],
            "question": "q “é” <image> and <image>",
            "answer": "1",
            "id": 4,
        },
        {"image": "x.png", "question": "r", "choices": ["a", "b"], "answer": "B", "grade": 3},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    made, _ = make_items(store, str(tmp_path / "rows.jsonl"))
    vlt("export", "items", "--format", "jsonl", "--to", tmp_path / "out", "-w", store.root)
    back, _ = make_items(store, str(tmp_path / "out"), name="back")
    assert back.manifest.digest == made.manifest.digest


def test_easyr1_by_its_own_rules(store: Store, tmp_path: Path) -> None:
    """As verl/utils/dataset.py of EasyR1 reads a row: the text is cut at <image>, one image a cut."""
    from datasets import load_dataset

    made = samples(store, each=2)
    vlt("export", "sft", "--format", "easyr1", "--to", tmp_path / "out", "-w", store.root)
    file = str(tmp_path / "out" / "train.parquet")
    loaded = load_dataset("parquet", data_files=file, split="train", cache_dir=str(tmp_path / "c"))
    assert len(loaded) == made.manifest.rows // 2, "one row an item"
    for row in loaded:
        assert row["problem"].split("<image>").__len__() - 1 == len(row["images"]) == 2
        assert all(isinstance(image, Image.Image) for image in row["images"])
        assert row["answer"].strip()
    assert "(A) 1\n(B) 2" in loaded[1]["problem"]


def test_sharegpt_by_its_own_rules(store: Store, tmp_path: Path) -> None:
    """As LLaMA-Factory's converter and mm_plugin check a dataset of formatting `sharegpt`."""
    made = samples(store, each=2)
    out = tmp_path / "out"
    vlt("export", "sft", "--format", "sharegpt", "--to", out, "-w", store.root)
    info = json.loads((out / "dataset_info.json").read_text())["sft"]
    assert info["formatting"] == "sharegpt"
    tags, columns = info["tags"], info["columns"]
    rows = json.loads((out / info["file_name"]).read_text())
    assert len(rows) == made.manifest.rows
    for row in rows:
        messages = row[columns["messages"]]
        if messages[0][tags["role_tag"]] == tags["system_tag"]:
            messages = messages[1:]
        assert len(messages) % 2 == 0, "the turns must come in pairs"
        for place, message in enumerate(messages):
            expected = tags["assistant_tag"] if place % 2 else tags["user_tag"]
            assert message[tags["role_tag"]] == expected
        asked = sum(message[tags["content_tag"]].count("<image>") for message in messages)
        assert asked == len(row[columns["images"]]) == 2, "as many placeholders as images"
        for image in row[columns["images"]]:
            with Image.open(out / image) as opened:
                opened.load()


def test_trl_columns(store: Store, tmp_path: Path) -> None:
    samples(store)
    vlt("export", "sft", "--format", "trl", "--to", tmp_path / "out", "-w", store.root)
    table = pq.read_table(tmp_path / "out" / "train.parquet")
    assert {"prompt", "completion", "images"} <= set(table.schema.names)


@pytest.mark.parametrize(
    ("text", "images", "expected"),
    [
        ("what?", 1, "<image>what?"),
        ("see <image> and <image>", 2, "see <image> and <image>"),
        ("see <image>", 2, "<image><image>see "),
        ("see <image>", 0, "see "),
    ],
)
def test_placeholders(text: str, images: int, expected: str) -> None:
    assert with_placeholders(text, images) == expected


def test_wrong_usage_is_one_sentence(store: Store, tmp_path: Path) -> None:
    with ImageStore(store.images_folder) as images:
        dataset(store, "items", "item", items_with(store, images, 1))
    dataset(store, "none", "item", [])
    where = ("-w", store.root)
    out = tmp_path / "out"
    assert "no dataset" in vlt_error("export", "nope", "--to", out, *where)
    assert "ShareGPT" in vlt_error(
        "export", "items", "--to", out, "--format", "sharegpt", *where, code=2
    )
    assert "no rows" in vlt_error("export", "none", "--to", out, *where, code=2)
    assert "--prompt" in vlt_error("export", "items", "--to", out, "--prompt", "x", *where, code=2)
    (tmp_path / "file").write_text("")
    assert "is a file" in vlt_error("export", "items", "--to", tmp_path / "file", *where, code=2)


def drawing(mode: str) -> bytes:
    """A black circle on nothing, as drawing programs write it."""
    image = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((10, 5, 50, 35), outline=(0, 0, 0, 255), width=3)
    out = io.BytesIO()
    if mode == "P":
        image.quantize(8).save(out, "PNG")
    elif mode == "WEBP":
        image.save(out, "WEBP", lossless=True)
    else:
        image.convert(mode).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "WEBP"])
def test_a_transparent_drawing_goes_out_on_white(store: Store, tmp_path: Path, mode: str) -> None:
    data = drawing(mode)
    with ImageStore(store.images_folder) as images:
        rows = [item("How many circles?", "1", images=[images.add(data)])]
    dataset(store, "items", "item", rows)
    made = dataset(store, "sft", "sample", [sample("<answer>1</answer>", 0, of=rows[0])])
    seen = []
    for format in ("parquet", "jsonl", "easyr1", "sharegpt", "swift", "trl"):
        out = tmp_path / format
        vlt("export", "sft", "--format", format, "--to", out, "-w", store.root)
        seen += [file.read_bytes() for file in out.rglob("*.png")]
        for file in out.rglob("*.parquet"):
            ((cell,),) = pq.read_table(file)["images"].to_pylist()
            seen.append(cell["bytes"])
    assert len(seen) == 6
    seen += [_saved(image) for image in made.to_hf()[0]["images"]]
    for bytes_ in seen:
        with Image.open(io.BytesIO(bytes_)) as opened:
            assert opened.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
            assert opened.convert("RGB").getpixel((30, 6))[0] < 80


def _saved(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_what_is_opaque_goes_out_as_it_is() -> None:
    rgba = io.BytesIO()
    picture(mode="RGBA").save(rgba, "PNG")
    for data in (png(1), turned_jpeg(), rgba.getvalue()):
        assert flattened(data) is data
