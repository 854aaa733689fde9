"""What TRL reads: written, read back by `datasets`, and sized as the model's processor would."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import COLOURS, PROMPT, item_rows, items, png, samples, tiny_vlm
from vlt.images.pixels import Pixels, fitted
from vlt.images.store import ImageStore
from vlt.prompts import Prompt
from vlt.train.method import find_method
from vlt.train.methods.grpo import band, items_of_samples
from vlt.train.trl_rows import write_trl
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import SAMPLE
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer

SFT, GRPO = find_method("sft"), find_method("grpo")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "workspace")


def read(file: Path, cache: Path):  # type: ignore[no-untyped-def]
    from datasets import Dataset as Rows

    return Rows.from_parquet(str(file), cache_dir=str(cache))


def test_sft_examples_come_back_with_their_pictures(store: Store, tmp_path: Path) -> None:
    data = samples(store, 20)
    with ImageStore(store.images_folder) as images:
        found = write_trl(
            data, tmp_path / "rows.parquet", SFT, prompt=PROMPT, load_image=images.read
        )
    assert (found.rows_in, found.rows, found.images) == (20, 20, True)
    rows = read(found.file, tmp_path / "cache")
    for source, row in zip(data.table().to_pylist(), rows, strict=True):
        assert row["prompt"] == [{"role": "user", "content": f"{source['question']} Think first."}]
        assert row["completion"] == [{"role": "assistant", "content": source["response"]}]
        [image] = row["images"]
        assert image.getpixel((3, 3)) == COLOURS[source["answer"]]


def test_grpo_prompts_carry_what_the_reward_needs(store: Store, tmp_path: Path) -> None:
    data = items(store, 5)
    with ImageStore(store.images_folder) as images:
        system = Prompt(PROMPT.user, system="Be brief.")
        found = write_trl(
            data, tmp_path / "rows.parquet", GRPO, prompt=system, load_image=images.read
        )
    rows = read(found.file, tmp_path / "cache")
    for source, row in zip(data.table().to_pylist(), rows, strict=True):
        assert [m["role"] for m in row["prompt"]] == ["system", "user"]
        for column in ("id", "answer", "choices", "answer_type", "question", "source"):
            assert row[column] == source[column]
        assert row["pass_rate"] is None


def test_rows_without_pictures_have_no_column_for_them(store: Store, tmp_path: Path) -> None:
    data = samples(store, 4, images=False)
    found = write_trl(data, tmp_path / "rows.parquet", SFT, prompt=PROMPT, load_image=lambda _: b"")
    assert "images" not in read(found.file, tmp_path / "cache").column_names


def test_a_picture_inside_the_text_stays_there(store: Store, tmp_path: Path) -> None:
    """TRL puts images first unless the content is in blocks."""
    from trl.data_utils import prepare_multimodal_messages

    data = samples(store, 3)
    prompt = Prompt("Look: <image> {question}")
    with ImageStore(store.images_folder) as images:
        found = write_trl(
            data, tmp_path / "rows.parquet", SFT, prompt=prompt, load_image=images.read
        )
    row = read(found.file, tmp_path / "cache")[0]
    [message] = prepare_multimodal_messages(row["prompt"], images=row["images"])
    assert [b["type"] for b in message["content"]] == ["text", "image", "text"]
    assert message["content"][1]["image"].size == (84, 56)


def test_bad_rows_are_left_out_and_counted(store: Store, tmp_path: Path) -> None:
    data = samples(store, 6)
    bad = data.table(["images"])["images"].to_pylist()[0][0]
    share = sum(bad in row for row in data.table(["images"])["images"].to_pylist())

    with ImageStore(store.images_folder) as images:

        def load(sha: str) -> bytes:
            return b"\x89PNG\r\n\x1a\nno" if sha == bad else images.read(sha)

        found = write_trl(data, tmp_path / "rows.parquet", SFT, prompt=PROMPT, load_image=load)
    assert found.rows == 6 - share
    assert found.failed == {"broken image": share}


@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    least=st.integers(28 * 28, 200_000),
    more=st.integers(0, 400_000),
)
def test_sizes_are_those_of_the_models_own_processor(
    width: int, height: int, least: int, more: int
) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    if max(width, height) / min(width, height) > 200:
        return
    high, wide = smart_resize(height, width, 28, least, least + more)
    assert Pixels(least, least + more, 28).fit(width, height) == (wide, high)


def test_resized_pictures_pass_the_processor_unchanged(tmp_path: Path) -> None:
    """Also where least and most are the same, where the rule does not give one size twice."""
    from PIL import Image

    from vlt.engine.size_rule import model_rule
    from vlt.train.child import Job
    from vlt.train.processor import load_training_processor

    model = tiny_vlm(tmp_path / "vlm")
    assert model_rule(str(model)).factor == 28
    for limits in ({"min": 784, "max": 10_000}, {"min": 20_000, "max": 20_000}):
        job = Job("sft", str(model), None, "", {}, [], limits, sized=True)
        processor = load_training_processor(job)
        pixels = Pixels(limits["min"], limits["max"], 28)
        for size in ((300, 200), (61, 300), (40, 30), (500, 499)):
            data = fitted(png((9, 9, 9), size), pixels)
            image = Image.open(io.BytesIO(data))
            grid = processor.image_processor(images=[image], return_tensors="pt")["image_grid_thw"]
            assert (grid[0, 2] * 14, grid[0, 1] * 14) == image.size == pixels.fit(*size)


def test_pass_rates_count_what_verification_dropped(store: Store) -> None:
    rows = item_rows(store, 4, images=False)
    verdicts = {
        0: ["correct", "wrong"],
        1: ["wrong", "wrong"],
        2: ["correct", "unjudged"],
        3: ["correct"],
    }
    made = [
        {**rows[i], "sample": s, "response": "x", "verdict": v}
        for i, vs in verdicts.items()
        for s, v in enumerate(vs)
    ]
    table = pa.Table.from_pylist(made, SAMPLE)
    right = [v["verdict"] == "correct" and v["id"] != rows[3]["id"] for v in made]
    with Writer(store, Stage("test", {}), "sft", "sample") as writer:
        writer.expect(table)
        writer.keep(table.filter(pa.array(right)))
        wrong = table.filter(pa.array([v["verdict"] != "correct" for v in made]))
        writer.drop(wrong, "verify", ["wrong"] * wrong.num_rows)
        other = table.filter(pa.array([v["id"] == rows[3]["id"] for v in made]))
        writer.drop(other, "dedup", ["duplicate"])
    found = items_of_samples(writer.dataset)
    rates = dict(zip(found["id"].to_pylist(), found["pass_rate"].to_pylist(), strict=True))
    assert rates == {rows[0]["id"]: 0.5, rows[1]["id"]: 0.0, rows[2]["id"]: 1.0}
    assert band(found, 0.1, 0.9)["id"].to_pylist() == [rows[0]["id"]]
    assert band(found, None, 0.9).num_rows == 2


def test_the_same_export_twice_is_the_same_file(store: Store, tmp_path: Path) -> None:
    data: Dataset = samples(store, 10)
    tables = []
    with ImageStore(store.images_folder) as images:
        for name in ("a", "b"):
            file = tmp_path / name
            write_trl(
                data, file, SFT, prompt=PROMPT, load_image=images.read, pixels=Pixels(784, 3000)
            )
            tables.append(pq.read_table(file))
    assert tables[0].equals(tables[1])
