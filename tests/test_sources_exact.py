"""No gold answer changes on import, whatever the type of its column; and what integers mean."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli import run_vlt
from tests.imported import make_items
from tests.pictures import png
from vlt.errors import UserError
from vlt.workspace.store import Dataset, Store

D = decimal.Decimal


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store(workspace)


def rows_of(made: Dataset) -> list[dict[str, Any]]:
    return made.table().to_pylist()


def imported(store: Store, folder: Path, columns: dict[str, Any], **settings: Any) -> Dataset:
    """A Parquet file with these columns, a question and a picture a row."""
    count = len(next(iter(columns.values())))
    table = {"image": [png()] * count, "question": [f"q{n}?" for n in range(count)], **columns}
    pq.write_table(pa.table(table), folder / "rows.parquet")
    return make_items(store, str(folder / "rows.parquet"), **settings)[0]


@pytest.mark.parametrize(
    ("answers", "golds"),
    [
        (pa.array([0.1, 2.5, 3.0, 16777216.0], pa.float32()), ["0.1", "2.5", "3", "16777216"]),
        (pa.array(np.array([0.1, 2.5, 0.333], np.float16)), ["0.1", "2.5", "0.333"]),
        (pa.array([0.1, 1e-7, 123456.789], pa.float64()), ["0.1", "1e-07", "123456.789"]),
        (pa.array([D("1.50"), D("2.00"), D("-0.25")], pa.decimal128(9, 2)), ["1.5", "2", "-0.25"]),
        (pa.array([D("7" * 50)], pa.decimal256(60, 0)), ["7" * 50]),
        (pa.array([2**64 - 1, 2**53 + 1], pa.uint64()), [str(2**64 - 1), str(2**53 + 1)]),
        (pa.array([[0.1]], pa.list_(pa.float32())), ["0.1"]),
        (pa.array([[D("1.10")]], pa.list_(pa.decimal128(5, 2))), ["1.1"]),
        (pa.array(["a b", "c d", "a b"]).dictionary_encode(), ["a b", "c d", "a b"]),
        (pa.array([datetime.date(2024, 2, 29)]), ["2024-02-29"]),
        (pa.array([True, False]), ["yes", "no"]),
    ],
    ids=str,
)
def test_golds_of_every_type(store: Store, tmp_path: Path, answers: pa.Array, golds: Any) -> None:
    made = imported(store, tmp_path, {"answer": answers})
    assert [row["answer"] for row in rows_of(made)] == golds


def test_numbers_within_other_columns_stay_too(store: Store, tmp_path: Path) -> None:
    made = imported(
        store,
        tmp_path,
        {
            "answer": pa.array([{"gold": 0.1}], pa.struct([("gold", pa.float32())])),
            "choices": pa.array([[0.1, 0.7]], pa.list_(pa.float32())),
            "score": pa.array([0.3], pa.float32()),
            "price": pa.array([D("1.25")], pa.decimal128(5, 2)),
            "key": pa.array([[(("a"), 0.1)]], pa.map_(pa.string(), pa.float32())),
        },
        map={"answer": "answer.gold"},
    )
    (row,) = rows_of(made)
    assert (row["answer"], row["choices"]) == ("0.1", ["0.1", "0.7"])
    meta = json.loads(row["meta"])
    assert (meta["score"], meta["price"], meta["key"]) == (0.3, 1.25, {"a": 0.1})


def test_labels_of_datasets_are_names(store: Store, tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Image, List, Value

    names = ClassLabel(names=["cat", "dog", "cow"])
    features = Features(
        {"image": Image(), "question": Value("string"), "answer": names, "choices": List(names),
         "about": {"kind": names}}
    )  # fmt: skip
    lines = [
        {
            "image": {"bytes": png(), "path": None},
            "question": "q?",
            "answer": 1,
            "choices": [0, 1, 2],
            "about": {"kind": 2},
        }
    ]
    made = Dataset.from_list(lines, features=features)
    made.to_parquet(tmp_path / "rows.parquet")
    made.save_to_disk(tmp_path / "disk")
    for name in ("rows.parquet", "disk"):
        (row,) = rows_of(make_items(store, str(tmp_path / name), name=name.partition(".")[0])[0])
        assert (row["answer"], row["choices"]) == ("dog", ["cat", "dog", "cow"])
        assert json.loads(row["meta"]) == {"about": {"kind": "cow"}}


@pytest.mark.parametrize(
    ("written", "gold"),
    [
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("3.14159265358979323846264338", "3.14159265358979323846264338"),
        ("0.1", "0.1"),
        ("2.50", "2.5"),
        ("9007199254740993", "9007199254740993"),
        ("9007199254740993.5", "9007199254740993.5"),
        ("1e3", "1000"),
        ("[123456789012345678901]", "123456789012345678901"),
    ],
)
def test_numbers_of_json_are_exact(store: Store, tmp_path: Path, written: str, gold: str) -> None:
    (tmp_path / "i.png").write_bytes(png())
    line = f'{{"image": "i.png", "question": "q?", "answer": {written}, "uid": {2**70}}}'
    for name, text in (("a.jsonl", line + "\n"), ("a.json", f"[{line}]")):
        (tmp_path / name).write_text(text)
        (row,) = rows_of(make_items(store, str(tmp_path / name), name=name[2:])[0])
        assert row["answer"] == gold
        assert json.loads(row["meta"]) == {"uid": 2**70}


def test_what_python_cannot_hold_is_text(store: Store, tmp_path: Path) -> None:
    beyond = pa.array([2**60, 0], pa.int64())
    broken = pa.array([b"fine", b"\xff\xfe"], pa.binary()).view(pa.string())
    made = imported(
        store,
        tmp_path,
        {
            "answer": ["1", "2"],
            "at": beyond.view(pa.timestamp("us")),
            "long": beyond.view(pa.duration("s")),
            "days": pa.array([2**31 - 1, 0], pa.int32()).view(pa.date32()),
            "nested": pa.array([[2**60], []], pa.list_(pa.int64())).cast(
                pa.list_(pa.timestamp("us"))
            ),
            "note": broken,
        },
    )
    (row,) = rows_of(made)
    assert made.manifest.failed == {"not UTF-8": 1}
    meta = json.loads(row["meta"])
    assert meta["note"] == "fine"
    assert all(str(2**60) in str(meta[name]) for name in ("at", "long", "nested"))
    (tmp_path / "i.png").write_bytes(png())
    digits = "9" * 5000
    (tmp_path / "a.jsonl").write_text(f'{{"image":"i.png","question":"q","answer":{digits}}}\n')
    (row,) = rows_of(make_items(store, str(tmp_path / "a.jsonl"), name="long")[0])
    assert row["answer"] == digits


@pytest.mark.parametrize(
    ("rows", "golds", "note"),
    [
        # Places from 0, the usual; a place that is another's text fails where nothing decides.
        ([(["a", "b"], 0), (["a", "b", "c"], 2)], ["A", "C"], None),
        ([(["1", "2"], 1)], None, None),
        # Texts: one gold is no place, so none is.
        ([(["10", "20", "30"], 20), (["2", "4", "6"], 2)], ["20", "2"], "as texts"),
        # Places: one gold is no text, so none is.
        ([(["x", "y", "z"], 2), (["1", "2"], 1)], ["C", "B"], None),
        # Places from 1: the last place is one too many, and 0 does not occur.
        ([(list("wxyz"), n) for n in (1, 4, 2, 3, 1, 4)], ["A", "D", "B", "C", "A", "D"], "from 1"),
        # The same as text, in CSV.
        ([(["x", "y", "z"], "2"), (["x", "y"], "0")], ["C", "A"], None),
        ([(["5", "7"], "7"), (["8", "9"], "8")], ["7", "8"], None),
    ],
)
def test_what_a_whole_number_is(
    store: Store, tmp_path: Path, rows: Any, golds: list[str] | None, note: str | None
) -> None:
    (tmp_path / "i.png").write_bytes(png())
    file = tmp_path / "rows.jsonl"
    file.write_text(
        "".join(
            json.dumps({"image": "i.png", "question": f"q{n}", "choices": c, "answer": a}) + "\n"
            for n, (c, a) in enumerate(rows)
        )
    )
    if golds is None:
        with pytest.raises(UserError, match="place of one choice and the text of another"):
            make_items(store, str(file))
        return
    made, _ = make_items(store, str(file))
    assert [row["answer"] for row in rows_of(made)] == golds
    notes = made.manifest.facts.get("notes", [])
    assert bool(notes) == bool(note)
    assert note is None or note in notes[0]


def test_letters_without_options_are_told(tmp_path: Path) -> None:
    (tmp_path / "i.png").write_bytes(png())
    lines = [{"image": "i.png", "question": f"Which? {n}", "answer": "B"} for n in range(3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run_vlt("import", tmp_path / "rows.jsonl", "-w", tmp_path / "w")
    assert "3 golds are option letters" in done.stderr
    assert "--map choices=COLUMN" in done.stderr


@pytest.mark.parametrize(
    ("answer", "answer_type", "expected"),
    [
        ("3.5", "integer", "float"),
        ("3", "number", "integer"),
        ("3", "integer", "integer"),
        ("B", "multi-choice", "choice"),
    ],
)
def test_somebody_elses_answer_type(
    store: Store, tmp_path: Path, answer: str, answer_type: str, expected: str
) -> None:
    (tmp_path / "i.png").write_bytes(png())
    line = {"image": "i.png", "question": "q", "answer": answer, "answer_type": answer_type}
    (tmp_path / "rows.jsonl").write_text(json.dumps(line))
    (row,) = rows_of(make_items(store, str(tmp_path / "rows.jsonl"))[0])
    assert row["answer_type"] == expected


@pytest.mark.parametrize(
    "column", ["source", "answer_type", "image", "question", "answer", "x\ud83d"]
)
def test_half_a_character_costs_one_row_at_most(store: Store, tmp_path: Path, column: str) -> None:
    (tmp_path / "i.png").write_bytes(png())
    good = {"image": "i.png", "question": "fine?", "answer": "1"}
    bad = json.dumps({**good, "question": "bad?", column: "a\ud83d"})
    (tmp_path / "rows.jsonl").write_text(bad + "\n" + json.dumps(good) + "\n")
    made, _ = make_items(store, str(tmp_path / "rows.jsonl"))
    assert rows_of(made)[-1]["question"] == "fine?"
    said = [reason for reason in made.manifest.failed if "not valid Unicode" in reason]
    assert len(said) == (0 if column.startswith("x") else 1)
    for row in rows_of(made):
        row["meta"].encode().decode()
        assert "\\ud83d" not in row["meta"]


def test_names_of_columns_with_spaces_around(store: Store, tmp_path: Path) -> None:
    (tmp_path / "i.png").write_bytes(png())
    line = {"image ": "i.png", "question\n": "q?", " Answer": "1"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(line))
    (row,) = rows_of(make_items(store, str(tmp_path / "rows.jsonl"))[0])
    assert (row["question"], row["answer"], len(row["images"])) == ("q?", "1", 1)
    (tmp_path / "bad.jsonl").write_text(json.dumps({"que\n": 1, "\ud83d": 2}))
    done = run_vlt("import", tmp_path / "bad.jsonl", "-w", tmp_path / "w")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "no column for question and answer" in done.stderr
