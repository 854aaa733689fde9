"""Clones of the benchmarks' and data sets' own repositories, as they are: --path COPY."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.benchmark_files import EMMA_SCHEMA, FLOAT_HINT, LETTER_HINT, shown
from tests.cli import vlt, vlt_error
from tests.imported import make_items
from tests.pictures import png
from vlt.datagen.benchmarks import prepare_benchmark
from vlt.images.store import ImageStore
from vlt.prompts import question_text
from vlt.workspace.store import Dataset, Store

INTEGER_HINT = (
    "Hint: Please answer the question requiring an integer answer and provide the final value, "
    "e.g., 1, 2, 3, at the end."
)


def write(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=4))


def draw(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(number))


def asked(items: Dataset) -> list[tuple[str, str, int]]:
    return [(question_text(r), r["answer"], len(r["images"])) for r in items.table().to_pylist()]


def images_of(store: Store, items: Dataset) -> list[list[bytes]]:
    with ImageStore(store.images_folder) as images:
        return [[images.read(i) for i in row["images"]] for row in items.table().to_pylist()]


def mathvista(clone: Path) -> Path:
    """lupantech/MathVista: data/testmini.json keyed by id, without the column `query`."""
    rows = {
        "1": {
            "question": "How far?", "image": "images/1.jpg", "choices": None, "unit": "m",
            "precision": 1, "answer": "1.2", "question_type": "free_form", "answer_type": "float",
            "pid": "1", "metadata": {"split": "testmini", "task": "x", "skills": ["y"]},
        },
        "2": {
            "question": "Find it.", "image": "images/2.jpg", "choices": ["140°", "145°"],
            "unit": None, "precision": None, "answer": "145°", "question_type": "multi_choice",
            "answer_type": "text", "pid": "2", "metadata": {"split": "testmini"},
        },
        "3": {
            "question": "How many?", "image": "images/3.jpg", "choices": None, "unit": None,
            "precision": None, "answer": "4", "question_type": "free_form",
            "answer_type": "integer", "pid": "3", "metadata": {"split": "testmini"},
        },
    }  # fmt: skip
    write(clone / "data" / "testmini.json", rows)
    write(clone / "data" / "source.json", {"SciBench": {"license": "MIT"}})
    write(clone / "data" / "query.json", {"1": "..."})
    write(clone / "results" / "gpt4" / "output.json", {"1": {"response": "no"}})
    write(clone / ".devcontainer" / "devcontainer.json", {})
    draw(clone, *(f"data/images/{n}.jpg" for n in (1, 2, 3)))
    return clone


def mathvision(clone: Path) -> Path:
    """mathllm/MATH-V: data/test.jsonl, whose image paths begin at the top of the repository."""
    row = {
        "id": "4", "question": "How many?\n<image1>", "options": [], "answer": "6",
        "solution": None, "level": 1, "subject": "counting", "image": "images/4.jpg",
    }  # fmt: skip
    (clone / "data").mkdir(parents=True)
    for split in ("test", "testmini"):
        (clone / "data" / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    draw(clone, "images/4.jpg", "assets/figures/x.png")
    return clone


def emma(clone: Path) -> Path:
    """luckychao/EMMA: a folder for each configuration; one row has neither question nor options."""
    for config in ("Math", "Physics"):
        rows = [
            {"pid": "1", "question": "", "options": [], "answer": "7", "image_1": shown(0),
             "subject": config, "task": "t", "category": "c", "type": "Open-ended"},
            {"pid": "2", "question": "", "options": ["a", "b"], "answer": "B", "image_1": shown(1),
             "subject": config, "task": "t", "category": "c", "type": "Multiple Choice"},
        ]  # fmt: skip
        (clone / config).mkdir(parents=True)
        file = clone / config / "test-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(rows, EMMA_SCHEMA), file)
    (clone / "README.md").write_text(
        "---\nconfigs:\n- config_name: Math\n  data_files:\n  - split: test\n    path: Math/test-*\n"
        "- config_name: Physics\n  data_files:\n  - split: test\n    path: Physics/test-*\n---\n"
    )
    return clone


def tabmwp(clone: Path) -> Path:
    """lupantech/PromptPG: data/tabmwp, a file for each split, the tables' pictures by id."""
    rows = {
        "7": {
            "question": "How much?", "choices": None, "answer": "1,000", "unit": "$",
            "table_title": None, "table": "a | b", "row_num": 2, "solution": "It is 1,000.",
            "ques_type": "free_text", "ans_type": "integer_number", "grade": 3, "split": "train",
        },
        "9": {
            "question": "Which?", "choices": ["more", "less"], "answer": "less", "unit": None,
            "table": "a | b", "solution": "Less.", "ques_type": "multi_choice",
            "ans_type": "extractive_text", "grade": 8, "split": "train",
        },
    }  # fmt: skip
    for split in ("train", "dev", "test", "dev1k", "test1k"):
        write(clone / "data" / "tabmwp" / f"problems_{split}.json", rows)
    write(clone / "data" / "tabmwp" / "splits.json", {"train": ["7", "9"]})
    write(clone / "checkpoints" / "exp1" / "history.json", {"a": [1]})
    draw(clone, "data/tabmwp/tables/7.png", "data/tabmwp/tables/9.png", "data/algorithm.png")
    return clone


def test_mathvista(workspace: Path, tmp_path: Path) -> None:
    store, clone = Store(workspace), mathvista(tmp_path / "MathVista")
    items, _ = prepare_benchmark(store, "mathvista", clone)
    assert asked(items) == [
        (f"{FLOAT_HINT}\nQuestion: How far? (Unit: m)", "1.2", 1),
        (f"{LETTER_HINT}\nQuestion: Find it.\nChoices:\n(A) 140°\n(B) 145°", "B", 1),
        (f"{INTEGER_HINT}\nQuestion: How many?", "4", 1),
    ]
    assert images_of(store, items) == [[png(0)], [png(1)], [png(2)]]
    plain, _ = make_items(store, str(clone), split="testmini", name="plain")
    assert asked(plain)[1] == ("Find it.\nChoices:\n(A) 140°\n(B) 145°", "145°", 1)


def test_mathvision(workspace: Path, tmp_path: Path) -> None:
    store, clone = Store(workspace), mathvision(tmp_path / "MATH-V")
    for name in ("mathvision", "mathvision-testmini"):
        items, _ = prepare_benchmark(store, name, clone)
        assert [row[1:] for row in asked(items)] == [("6", 1)]
        assert images_of(store, items) == [[png(0)]]
    made, _ = make_items(store, str(clone / "data" / "test.jsonl"), image_root=clone, name="one")
    assert images_of(store, made) == [[png(0)]]


def test_emma(workspace: Path, tmp_path: Path) -> None:
    store, clone = Store(workspace), emma(tmp_path / "EMMA")
    items, _ = prepare_benchmark(store, "emma-math", clone)
    assert not items.manifest.failed
    assert [row[1:] for row in asked(items)] == [("7", 1), ("B", 1)]
    assert asked(items)[1][0].endswith("Question:\nChoices:\n(A) a\n(B) b")
    said = vlt_error("import", clone, "-w", workspace, code=2)
    assert "configurations Math, Physics" in said and "--config" in said


def test_tabmwp(workspace: Path, tmp_path: Path) -> None:
    store, clone = Store(workspace), tabmwp(tmp_path / "PromptPG")
    expected = [("How much?", "1,000", 1), ("Which?\nChoices:\n(A) more\n(B) less", "less", 1)]
    named, _ = make_items(store, "tabmwp", settings={"path": str(clone)}, name="named")
    assert asked(named) == expected
    plain, _ = make_items(store, str(clone), split="test", name="plain")
    assert asked(plain) == expected
    assert images_of(store, plain) == images_of(store, named) == [[png(0)], [png(1)]]


def test_images_elsewhere(workspace: Path, tmp_path: Path) -> None:
    """--image-root holds for a benchmark's copy, too."""
    clone = mathvision(tmp_path / "MATH-V")
    (clone / "images").rename(tmp_path / "images")
    vlt(
        "import", "mathvision", "--path", clone, "--image-root", tmp_path, "-w", workspace
    )  # fmt: skip
    store = Store(workspace)
    assert images_of(store, store.open("mathvision")) == [[png(0)]]
    said = vlt_error("import", "mathvision", "--image-root", tmp_path, "-w", workspace, code=2)
    assert "--path" in said


@pytest.mark.parametrize("what", ["rows", "image"])
def test_a_clone_without_git_lfs_says_so(workspace: Path, tmp_path: Path, what: str) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    if what == "rows":
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "train-00000-of-00001.parquet").write_bytes(pointer)
        said = vlt_error("import", tmp_path, "-w", workspace, code=1)
    else:
        (tmp_path / "i.png").write_bytes(pointer)
        line = json.dumps({"image": "i.png", "question": "q", "answer": "1"})
        (tmp_path / "rows.jsonl").write_text(line)
        said = vlt_error("import", tmp_path / "rows.jsonl", "-w", workspace, code=1)
    assert "git lfs pull" in said
