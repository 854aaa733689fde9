"""vlt diff: rows by key, flipped verdicts, distributions, parameters; and errors for bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.cli import vlt, vlt_error, vlt_json
from tests.rows import dataset, item, sample
from vlt.workspace.diff import diff
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import SAMPLE
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer

DOGS, CATS, COWS = item("How many dogs?", "2"), item("How many cats?", "3"), item("How many cows?")


def made(
    store: Store, name: str, rows: list[dict[str, Any]], drop: int = 0, **parameters: Any
) -> Dataset:
    """A version of samples; the last `drop` rows are dropped by the filter `verify`."""
    table = pa.Table.from_pylist(rows, schema=SAMPLE)
    with Writer(store, Stage("test", parameters), name, "sample") as writer:
        writer.expect(table)
        writer.keep(table.slice(0, len(rows) - drop))
        if drop:
            writer.drop(table.slice(len(rows) - drop), "verify", ["wrong"] * drop)
    return writer.dataset


def test_rows_verdicts_lengths_and_parameters(workspace: Path) -> None:
    store = Store(workspace)
    before = [
        sample("I count. 2", 0, DOGS, verdict="correct", predicted="2", model="m"),
        sample("3", 0, CATS, verdict="wrong", predicted="4", model="m"),
        sample("2", 0, COWS, verdict="correct", model="m"),
    ]
    after = [
        before[0],
        sample("now 3", 0, CATS, verdict="correct", predicted="3", model="n"),
        before[2],
    ]
    a = made(store, "a", before, temperature=0.5, prompt={"user": "x"})
    b = made(store, "b", after, drop=1, temperature=1.0, prompt={"user": "x"})
    found = vlt_json("diff", "a", "b", "-w", workspace)
    assert found["rows"] == {"a": 3, "b": 2, "added": 0, "gone": 1, "changed": 1, "same": 1}
    assert found["key"] == ["id"]
    assert found["columns"] == {
        "response": 1,
        "predicted": 1,
        "completion_tokens": 1,
        "model": 1,
        "verdict": 1,
    }
    assert found["gone_by"] == {"verify": 1}
    assert found["flips"] == {"correct -> correct": 1, "wrong -> correct": 1}
    [flip] = found["examples"]
    assert (flip["question"], flip["predicted_a"], flip["predicted_b"]) == (
        "How many cats?",
        "4",
        "3",
    )
    assert found["values"]["verdict"] == [
        {"value": "correct", "a": 2, "b": 2},
        {"value": "wrong", "a": 1, "b": 0},
    ]
    assert found["lengths"]["words of the response"]["a"][2] == 1
    assert found["parameters"] == {"temperature": [0.5, 1.0]}
    assert not found["same_content"]
    words = vlt("diff", "a", "b", "-w", workspace)
    assert "3 rows -> 2: 0 added, 1 removed, 1 changed, 1 the same (by id)" in words
    assert (
        "dropped by verify: 1" in words
        and "wrong -> correct" in words
        and "How many cats?" in words
    )
    assert diff(a, b, examples=0)["examples"] == []


def test_several_samples_of_an_item_are_told_apart(workspace: Path) -> None:
    store = Store(workspace)
    one = made(store, "one", [sample(text, n, DOGS) for n, text in enumerate("ab")], of=1)
    two = made(store, "two", [sample(text, n, DOGS) for n, text in enumerate("acd")], of=2)
    found = diff(one, two)
    assert found["key"] == ["id", "sample"]
    assert found["rows"] == {"a": 2, "b": 3, "added": 1, "gone": 0, "changed": 1, "same": 1}


def test_a_version_and_itself_and_other_kinds(workspace: Path) -> None:
    store = Store(workspace)
    items = dataset(store, "items", "item", [DOGS, CATS])
    none = made(store, "none", [])
    same = diff(items, items)
    assert same["same_content"] and same["parameters"] == {}
    assert same["rows"]["same"] == 2 and same["columns"] == {}
    assert diff(items, none)["rows"] == {
        "a": 2,
        "b": 0,
        "added": 0,
        "gone": 2,
        "changed": 0,
        "same": 0,
    }
    assert "the same content" in vlt("diff", "items", "items", "-w", workspace)


@pytest.mark.parametrize("text", ["", "\x1b[2J\u202e", "word " * 200_000, 'x"; drop table a; --'])
def test_any_text_is_compared(workspace: Path, text: str) -> None:
    store = Store(workspace)
    a = made(store, "a", [sample("before", 0, DOGS, verdict="wrong")])
    b = made(store, "b", [sample(text, 0, DOGS, verdict="correct")])
    assert diff(a, b)["examples"][0]["response_b"] == text
    assert "\x1b" not in vlt("diff", "a", "b", "-w", workspace)


def test_bad_input_is_one_sentence(workspace: Path) -> None:
    store = Store(workspace)
    dataset(store, "items", "item", [DOGS])
    folder = store.folder("checkpoint") / "model" / "v1"
    folder.mkdir(parents=True)
    manifest = store.open("items").manifest
    manifest.name, manifest.kind = "model", "checkpoint"
    manifest.write(folder / "manifest.json")
    assert "model@v1 of kind checkpoint" in vlt_error(
        "diff", "items", "model", "-w", workspace, code=2
    )
    assert "no dataset 'nothing'" in vlt_error("diff", "items", "nothing", "-w", workspace)


def test_where_long_parameters_part_is_seen(workspace: Path) -> None:
    store = Store(workspace)
    prompts = ["Look at the picture. " * 20 + end for end in ("Think first.", "Answer at once.")]
    for name, prompt in zip("ab", prompts, strict=True):
        made(store, name, [sample("2", 0, DOGS)], prompt={"user": prompt})
    words = vlt("diff", "a", "b", "-w", workspace, COLUMNS="80")
    (line,) = [line for line in words.splitlines() if line.startswith("prompt.user")]
    assert "Think" in line and "Answer" in line
    assert max(map(len, words.splitlines())) <= 80


def test_quantiles_are_exact(workspace: Path) -> None:
    store = Store(workspace)
    for name, start in (("a", 1), ("b", 101)):
        rows = [sample("word " * n, n, DOGS) for n in range(start, start + 100)]
        made(store, name, rows, of=name)
    tokens = diff(store.open("a"), store.open("b"))["lengths"]["completion tokens"]
    assert tokens == {"a": [5, 25, 50, 75, 95], "b": [105, 125, 150, 175, 195]}
