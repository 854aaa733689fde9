"""Exports by the rules of the programs that read them, and words that these take for image tokens."""

from __future__ import annotations

import ast
import base64
import csv
import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from tests.cli import run_vlt, vlt_error
from tests.pictures import png
from tests.rows import dataset, item, sample
from vlt.images.store import ImageStore
from vlt.prompts import image_token
from vlt.workspace.store import Store


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store(workspace)


def pictured(store: Store, *questions: str, each: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """Items with a picture of their own."""
    with ImageStore(store.images_folder) as images:
        return [
            item(q, "2", images=[images.add(png(10 * i + j)) for j in range(each)], **fields)
            for i, q in enumerate(questions)
        ]


def exported(store: Store, name: str, format: str, to: Path, code: int = 0) -> dict[str, Any]:
    done = run_vlt("export", name, "--format", format, "--to", to, "--json", "-w", store.root)
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_jsonl_loads_with_images_decoded(store: Store, tmp_path: Path) -> None:
    from datasets import load_dataset

    rows = pictured(store, "How many?", "How many now?", each=2)
    rows.append(item("And without a picture?", meta='{"grade": "three"}'))
    rows[0]["meta"] = '{"grade": 3}'
    dataset(store, "items", "item", rows)
    exported(store, "items", "jsonl", tmp_path / "out")
    loaded = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == 3
    for got, row in zip(loaded, rows, strict=True):
        assert (got["id"], got["question"], got["meta"]) == (
            row["id"],
            row["question"],
            row["meta"],
        )
        assert [i.size for i in got["images"]] == [(120, 90)] * len(row["images"])


@pytest.mark.parametrize("pictures", [0, 1])
def test_jsonl_of_one_picture_or_none_loads_as_well(
    store: Store, tmp_path: Path, pictures: int
) -> None:
    from datasets import load_dataset

    dataset(store, "items", "item", pictured(store, "How many?", each=pictures))
    exported(store, "items", "jsonl", tmp_path / "out")
    loaded = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["question"] == ["How many?"]


def test_swift_by_its_own_rules(store: Store, tmp_path: Path) -> None:
    """As ms-swift's MessagesPreprocessor and templates read a row: one <image> an image, in turns."""
    rows = pictured(store, "Left <image> or right <image>?", "How many?", each=2)
    dataset(store, "items", "item", rows)
    dataset(store, "sft", "sample", [sample("<answer>2</answer>", 0, of=row) for row in rows])
    for name, roles in (("sft", ["user", "assistant"]), ("items", ["user"])):
        out = tmp_path / name
        (file,) = exported(store, name, "swift", out)["files"]
        lines = [json.loads(line) for line in Path(file).read_text().splitlines()]
        assert len(lines) == 2
        for line in lines:
            turns = [message for message in line["messages"] if message["role"] != "system"]
            assert [message["role"] for message in turns] == roles
            asked = sum(message["content"].count("<image>") for message in line["messages"])
            assert asked == len(line["images"]) == 2
            for image in line["images"]:
                Image.open(out / image).load()
            assert line.get("solution") == (None if name == "sft" else "2")
        assert "Left <image> or right <image>?" in lines[0]["messages"][-len(roles)]["content"]
    assert (
        "ROOT_IMAGE_DIR="
        in run_vlt(
            "export", "sft", "--format", "swift", "--to", tmp_path / "again", "-w", store.root
        ).stderr
    )


@pytest.mark.parametrize("format", ["sharegpt", "swift"])
@pytest.mark.parametrize("word", ["<video>", "<audio>"])
def test_a_word_is_not_taken_for_a_film(
    store: Store, tmp_path: Path, format: str, word: str
) -> None:
    rows = pictured(store, f"What does the {word} tag do?")
    dataset(store, "sft", "sample", [sample(f"A {word} plays <answer>2</answer>", 0, of=rows[0])])
    (file,) = exported(store, "sft", format, tmp_path / "out")["files"]
    text = Path(file).read_text()
    assert word not in text
    assert text.count(f"< {word[1:-1]} >") == 2, "and none is lost"


TOKENS = [
    "<|image_pad|>",
    "<|vision_start|>",
    "<|video_pad|>",
    "<|image|>",
    "<|image_1|>",
    "<|begin_of_image|>",
    "<start_of_image>",
    "<image_soft_token>",
    "<IMG_CONTEXT>",
    "[IMG]",
]


@pytest.mark.parametrize("token", TOKENS)
def test_image_tokens_are_found_wherever_they_stand(token: str) -> None:
    assert image_token({"question": f"What is {token}?"})
    assert image_token({"question": "q", "choices": ["a", token]})
    assert image_token({"question": "q", "choices": [], "response": f"so {token}"})
    fine = "an <image>, an image_pad, [1], <|im_end|>, a <b>tag</b> and x <|y"
    assert image_token({"question": fine, "choices": None, "response": None}) is None


@pytest.mark.parametrize("format", ["sharegpt", "swift", "easyr1", "trl"])
def test_a_row_with_an_image_token_is_left_out_and_counted(
    store: Store, tmp_path: Path, format: str
) -> None:
    rows = pictured(store, "How many?", "What does <|image_pad|> mean?")
    dataset(store, "sft", "sample", [sample("<answer>2</answer>", 0, of=row) for row in rows])
    done = exported(store, "sft", format, tmp_path / "out", code=3)
    reason = "its text holds <|image_pad|>, which stands for an image to a model"
    assert done["left_out"] == {reason: 1}
    (file,) = map(Path, done["files"])
    if file.suffix == ".parquet":
        assert pq.read_metadata(file).num_rows == 1
    else:
        assert "image_pad" not in file.read_text() and "How many?" in file.read_text()


def test_vlmevalkit_by_its_own_rules(store: Store, tmp_path: Path) -> None:
    """As its ImageBaseDataset and the choice between CustomMCQDataset and CustomVQADataset read it."""
    choices = pictured(store, "Which\tcolour?\nSay.", choices=["red", "blue"])
    choices[0]["answer"] = "blue"
    two = pictured(store, "Compare <image> with <image>", each=2)
    dataset(store, "bench", "item", [*choices, *two])
    files = [Path(f) for f in exported(store, "bench", "vlmevalkit", tmp_path)["files"]]
    assert [file.name for file in files] == ["bench.tsv", "bench_VQA.tsv"]
    csv.field_size_limit(1 << 24)
    ((mcq,), (vqa,)) = (
        list(csv.DictReader(io.StringIO(f.read_text()), delimiter="\t")) for f in files
    )
    assert (mcq["A"], mcq["B"], mcq["answer"]) == ("red", "blue", "B")
    assert mcq["question"] == "Which\tcolour?\nSay."
    Image.open(io.BytesIO(base64.b64decode(mcq["image"]))).load()
    assert "A" not in vqa and vqa["answer"] == "2"
    pictures, paths = (ast.literal_eval(vqa[name]) for name in ("image", "image_path"))
    assert len(pictures) == len(set(paths)) == 2
    assert [base64.b64decode(p) for p in pictures] == [png(0), png(1)]
    assert "<image>" not in vqa["question"]
    dataset(store, "texts", "item", [item("No picture?")])
    assert "has no image" in vlt_error(
        "export", "texts", "--format", "vlmevalkit", "--to", tmp_path, "-w", store.root, code=2
    )


def test_lmms_eval_by_its_own_rules(store: Store, tmp_path: Path) -> None:
    """As its task loader reads the YAML, with the functions that `!function` names."""
    from datasets import load_dataset

    rows = pictured(store, "Which colour?", choices=["red", "blue"])
    rows[0]["answer"] = "blue"
    dataset(store, "bench", "item", [*rows, *pictured(store, "How many?")])
    exported(store, "bench", "lmms-eval", tmp_path / "task")
    spec = importlib.util.spec_from_file_location("task_utils", tmp_path / "task" / "utils.py")
    assert spec and spec.loader
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda _, node: getattr(utils, node.value.split(".")[1]))
    task = yaml.load((tmp_path / "task" / "bench.yaml").read_text(), Loader)
    loaded = load_dataset(
        task["dataset_path"],
        **task["dataset_kwargs"],
        split=task["test_split"],
        cache_dir=str(tmp_path / "cache"),
    )
    first, second = loaded
    assert task["doc_to_visual"](first)[0].mode == "RGB"
    assert task["doc_to_text"](first) == "Which colour?\nChoices:\n(A) red\n(B) blue"
    assert first[task["doc_to_target"]] == "B"
    for doc, said, right in (
        (first, "<think>A?</think> <answer>B</answer>", 1.0),
        (first, "So it is\n(B)", 1.0),
        (first, "<answer>A</answer>", 0.0),
        (second, "<answer> 2. </answer>", 1.0),
    ):
        assert task["process_results"](doc, [said]) == {"exact_match": right}
    assert "utils" not in sys.modules
