"""A user's own captions and samples, text-only items, and rows from a function."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli import run_vlt, vlt, vlt_error
from tests.imported import make_items
from tests.pictures import png
from vlt.errors import UsageError, UserError
from vlt.workspace.store import Store

ROOT = Path(__file__).parents[1]


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store(workspace)


def jsonl(file: Path, *rows: dict[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    (file.parent / "i.png").write_bytes(png())
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


RIGHT = "<think>One, two.</think> <answer>2</answer>"
SAMPLES = [
    {"image": "i.png", "question": "How many?", "answer": "2", "response": RIGHT, "model": "m"},
    {"image": "i.png", "question": "How many?", "answer": "2", "response": "<answer>3</answer>"},
    {"image": "i.png", "question": "Which?", "choices": ["a", "b"], "answer": "B",
     "response": "It is <answer>B</answer>", "finish_reason": "length"},
    {"image": "i.png", "question": "And?", "answer": "1", "response": " "},
]  # fmt: skip


def test_samples_enter_and_are_verified(workspace: Path, tmp_path: Path) -> None:
    where = ("-w", workspace)
    done = run_vlt("import", jsonl(tmp_path / "s.jsonl", *SAMPLES), "--kind", "samples", *where)
    assert done.returncode == 3
    assert done.stdout.startswith("samples@v1: 3 samples, 1 failed")
    assert "1 response is empty" in done.stderr
    rows = Store(workspace).open("samples").table().to_pylist()
    assert [(r["sample"], r["predicted"], r["model"]) for r in rows] == [
        (0, "2", "m"),
        (1, "3", "unknown"),
        (0, "B", "unknown"),
    ]
    assert [r["finish_reason"] for r in rows] == ["stop", "stop", "length"]
    assert rows[0]["id"] == rows[1]["id"] != rows[2]["id"]
    assert rows[0]["reasoning"] == "One, two."
    assert {r["verdict"] for r in rows} == {None}
    vlt("filter", "--verify", *where)
    kept = Store(workspace).open("sft").table().to_pylist()
    assert kept[0]["response"] == RIGHT
    assert {r["verdict"] for r in kept} == {"correct"}


@pytest.mark.parametrize(
    "response",
    [
        ["<answer>1</answer>", "<answer>2</answer>"],
        [{"role": "assistant", "content": "<answer>1</answer>"}],
    ],
)
def test_responses_in_one_row(store: Store, tmp_path: Path, response: Any) -> None:
    row = {"image": "i.png", "question": "q?", "answer": "1", "responses": response}
    made, _ = make_items(store, str(jsonl(tmp_path / "s.jsonl", row)), kind="samples")
    found = [(r["sample"], r["predicted"]) for r in made.table().to_pylist()]
    assert found == [(0, "1"), (1, "2")][: len(response)]


def test_a_conversation_is_a_response_to_its_gold(store: Store, tmp_path: Path) -> None:
    turns = [
        {"from": "human", "value": "<image>\nHow many?"},
        {"from": "gpt", "value": "I count. <answer>4</answer>"},
    ]
    row = {"images": ["i.png"], "conversations": turns}
    with pytest.raises(UsageError, match="no column for answer"):
        make_items(store, str(jsonl(tmp_path / "s.jsonl", row)), kind="samples")
    file = jsonl(tmp_path / "s.jsonl", {**row, "ground_truth": "3"})
    made, _ = make_items(store, str(file), kind="samples")
    (found,) = made.table().to_pylist()
    assert (found["question"], found["answer"], found["predicted"]) == ("How many?", "3", "4")


def test_captions_enter_and_are_reasoned_over(store: Store, tmp_path: Path) -> None:
    rows = [
        {"image": "i.png", "question": f"q{n}?", "answer": "1", "caption": caption}
        for n, caption in enumerate(["Two dots.", "", None, "Three."])
    ]
    made, _ = make_items(store, str(jsonl(tmp_path / "c.jsonl", *rows)), kind="captions")
    assert (made.manifest.name, made.kind) == ("captions", "caption")
    kept = made.table().to_pylist()
    assert [(r["caption"], r["caption_model"]) for r in kept] == [
        ("Two dots.", "unknown"),
        ("Three.", "unknown"),
    ]
    assert made.manifest.failed == {"caption is empty": 1, "no caption": 1}
    items, existed = make_items(store, str(tmp_path / "c.jsonl"), name="captions-items")
    assert not existed and items.kind == "item"
    with pytest.raises(UsageError, match="no column for caption"):
        make_items(store, str(jsonl(tmp_path / "d.jsonl", SAMPLES[0])), kind="captions")


def test_what_vlt_exported_comes_back(workspace: Path, tmp_path: Path) -> None:
    where = ("-w", workspace)
    vlt("import", jsonl(tmp_path / "s.jsonl", *SAMPLES[:3]), "--kind", "samples", *where)
    vlt("export", "samples", "--format", "parquet", "--to", tmp_path / "out", *where)
    vlt("import", tmp_path / "out", "--kind", "samples", "--as", "back", *where)
    store = Store(workspace)
    one, other = (store.open(name).table().to_pylist() for name in ("samples", "back"))
    keys = ("id", "sample", "response", "model", "predicted", "images", "finish_reason")
    assert [[r[k] for k in keys] for r in one] == [[r[k] for k in keys] for r in other]


def test_text_only_items(store: Store, tmp_path: Path) -> None:
    rows = [
        {"question": "What is 2 + 2?", "answer": "4"},
        {"question": "How many?", "answer": "2", "image": "i.png"},
        {"question": "What is 2 + 3?", "answer": "5", "image": None},
    ]
    file = str(jsonl(tmp_path / "t.jsonl", *rows))
    made, _ = make_items(store, file)
    assert [len(r["images"]) for r in made.table().to_pylist()] == [0, 1, 0]
    assert "2 rows have no image" in made.manifest.facts["notes"][0]
    required, existed = make_items(store, file, images="required")
    assert not existed
    assert required.manifest.failed == {"no image": 2}
    plain = str(jsonl(tmp_path / "p.jsonl", rows[0]))
    none, _ = make_items(store, plain, name="plain")
    assert "all rows are text-only" in none.manifest.facts["notes"][0]
    with pytest.raises(UserError, match="1 no image"):
        make_items(store, plain, images="required")
    marked = {"question": "<image> How many?", "answer": "2"}
    with pytest.raises(UserError, match="<image> stands 1 times for 0 images"):
        make_items(store, str(jsonl(tmp_path / "m.jsonl", marked)))


def test_text_only_items_are_asked_and_exported(workspace: Path, tmp_path: Path) -> None:
    row = {"question": "What is 2 + 2?", "answer": "4", "response": "<answer>4</answer>"}
    where = ("-w", workspace)
    vlt("import", jsonl(tmp_path / "t.jsonl", row), "--kind", "samples", *where)
    for format in ("parquet", "jsonl", "trl", "sharegpt"):
        vlt("export", "samples", "--format", format, "--to", tmp_path / format, *where)


NEWCOMER = '''
"""Sums, with the pictures beside this file."""

import numpy as np
from PIL import Image

from drawing import draw


def records(n=4):
    for i in range(n):
        yield {
            "problem": f"How bright is {i}?",
            "solution": np.float32(0.1) if i == 0 else np.int64(i),
            "image": draw(i) if i % 2 else f"pictures/{i}.png",
        }


def broken():
    yield {"question": "q", "answer": "1"}
    raise KeyError("gone")


def nothing():
    return []
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A newcomer's folder with files named like vlt's own parts."""
    home = tmp_path / "project"
    (home / "pictures").mkdir(parents=True)
    for number in range(4):
        (home / "pictures" / f"{number}.png").write_bytes(png(number))
    (home / "recipes").mkdir()
    for name in ("train.py", "filters.py", "datagen.py", "recipes/__init__.py"):
        (home / name).write_text("raise RuntimeError('a file of the user')\n")
    (home / "drawing.py").write_text(
        "from PIL import Image\n\n\ndef draw(i):\n    return Image.new('RGB', (40, 30), (i, 0, 0))\n"
    )
    (home / "mine.py").write_text(NEWCOMER)
    return home


def run_there(home: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """`vlt` in the folder, with PYTHONPATH=. as newcomers set it."""
    environment = {**os.environ, "PYTHONPATH": f".{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "vlt", *map(str, arguments)]
    return subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )


def test_a_source_of_ones_own(own: Path) -> None:
    done = run_there(own, "import", "./mine.py:records", "--set", "n=3", "-w", "w")
    assert (done.returncode, done.stdout.split(" (")[0]) == (0, "items@v1: 3 items"), done.stderr
    rows = Store(own / "w").open("items").table().to_pylist()
    assert [(r["question"], r["answer"], r["source"]) for r in rows] == [
        ("How bright is 0?", "0.1", "records"),
        ("How bright is 1?", "1", "records"),
        ("How bright is 2?", "2", "records"),
    ]
    assert all(len(r["images"]) == 1 for r in rows)
    again = run_there(own, "import", "./mine.py:records", "--set", "n=3", "-w", "w")
    assert "already there" in again.stdout
    (own / "drawing.py").write_text((own / "drawing.py").read_text().replace("40", "41"))
    changed = run_there(own, "import", "./mine.py:records", "--set", "n=3", "-w", "w")
    assert changed.stdout.startswith("items@v2"), "what the file imports belongs to it"
    more = run_there(own, "import", "mine.py:records", "-w", "w")
    assert more.stdout.startswith("items@v3: 4 items"), "settings belong to it"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("mine.py:recordz", "the module has no 'recordz'; it has records"),
        ("mine.py:broken", "KeyError: 'gone' (mine.py, line"),
        ("mine.py:nothing", "yields no records"),
        ("none.py:records", "does not exist"),
        ("train.py:records", "RuntimeError: a file of the user"),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence(own: Path, source: str, words: str) -> None:
    done = run_there(own, "import", source, "-w", "w")
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_it_stands_in_a_recipe_and_in_python(own: Path, tmp_path: Path) -> None:
    import vlt as toolkit

    with toolkit.Workspace(tmp_path / "w") as workspace:
        made = workspace.import_items(f"{own}/mine.py:records", limit=2)
    assert made.manifest.rows == 2
    assert "--set" in vlt_error(
        "import", f"{own}/mine.py:records", "--split", "x", "-w", tmp_path / "w", code=2
    )
