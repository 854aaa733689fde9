"""Sources in users' layouts, and when an import is the same as before."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli import run_vlt, vlt_error
from tests.imported import make_items
from tests.pictures import encoded, picture, png, turned_jpeg
from vlt.errors import UsageError, UserError
from vlt.images.store import ImageStore
from vlt.workspace.store import Dataset, Store


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store(workspace)


def write_jsonl(file: Path, rows: list[Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def a_folder(folder: Path, n: int = 6) -> Path:
    """rows.jsonl with n questions, each about a picture of its own in pictures/."""
    (folder / "pictures").mkdir(parents=True)
    for i in range(n):
        (folder / "pictures" / f"{i}.png").write_bytes(png(i))
    return write_jsonl(
        folder / "rows.jsonl",
        [
            {
                "image": f"pictures/{i}.png",
                "problem": f"How many? {i}",
                "solution": str(i),
                "level": i % 3,
            }
            for i in range(n)
        ],
    )


def rows(dataset: Dataset) -> list[dict[str, Any]]:
    return dataset.table().to_pylist()


def bytes_of(store: Store, dataset: Dataset) -> list[list[bytes]]:
    with ImageStore(store.images_folder) as images:
        return [[images.read(sha256) for sha256 in row["images"]] for row in rows(dataset)]


def test_jsonl_with_paths(store: Store, tmp_path: Path) -> None:
    made, existed = make_items(store, str(a_folder(tmp_path / "mine")))
    assert not existed
    assert [row["question"] for row in rows(made)] == [f"How many? {i}" for i in range(6)]
    assert bytes_of(store, made) == [[png(i)] for i in range(6)]
    first = rows(made)[0]
    assert first["images"] == [hashlib.sha256(png(0)).hexdigest()]
    assert (first["answer"], first["answer_type"], first["source"]) == ("0", "integer", "rows")
    assert json.loads(first["meta"]) == {"level": 0}
    assert make_items(store, str(tmp_path / "mine" / "rows.jsonl"))[1]


def test_csv(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    (tmp_path / "a b.png").write_bytes(png(1))
    with open(file, "w", encoding="utf-8-sig", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["id", "image", "question", "A", "B", "C", "answer"])
        writer.writerow([7, "a b.png", "Which, “if any”,\nis it?", "cat", "dog", "", "B"])
    (row,) = rows(make_items(store, str(file))[0])
    assert row["question"] == "Which, “if any”,\nis it?"
    assert (row["choices"], row["answer"], row["answer_type"]) == (["cat", "dog"], "B", "choice")
    assert json.loads(row["meta"]) == {"id": "7"}


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize(
    ("type", "cell"),
    [
        (IMAGE, lambda data: {"bytes": data, "path": "x.png"}),
        (pa.list_(IMAGE), lambda data: [{"bytes": data, "path": None}]),
        (pa.binary(), lambda data: data),
        (pa.list_(pa.binary()), lambda data: [data]),
        (pa.large_binary(), lambda data: data),
    ],
)
def test_parquet_with_images_inside(store: Store, tmp_path: Path, type: Any, cell: Any) -> None:
    table = pa.table(
        {
            "image": pa.array([cell(png(i)) for i in range(5)], type),
            "query": [f"q{i}?" for i in range(5)],
            "answer": pa.array([1, 2, 3, 4, 5], pa.int64()),
            "embedding": pa.array([[0.5] * 8] * 5, pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=2)
    made, _ = make_items(store, str(tmp_path / "rows.parquet"))
    assert bytes_of(store, made) == [[png(i)] for i in range(5)]
    assert [row["answer"] for row in rows(made)] == ["1", "2", "3", "4", "5"]


def test_parquet_with_paths(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(1))
    table = pa.table({"image": ["x.png"], "question": ["q"], "answer": ["yes"]})
    pq.write_table(table, tmp_path / "rows.parquet")
    made, _ = make_items(store, str(tmp_path / "rows.parquet"))
    assert bytes_of(store, made) == [[png(1)]]
    (tmp_path / "x.png").write_bytes(png(2))
    changed, existed = make_items(store, str(tmp_path / "rows.parquet"))
    assert not existed
    assert bytes_of(store, changed) == [[png(2)]]


def test_folder_of_images_with_metadata(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "set" / "train"
    folder.mkdir(parents=True)
    for i in range(3):
        (folder / f"{i}.png").write_bytes(png(i))
    lines = [{"file_name": f"{i}.png", "question": f"q{i}", "answer": "yes"} for i in range(3)]
    write_jsonl(folder / "metadata.jsonl", lines)
    made, _ = make_items(store, str(tmp_path / "set"))
    assert bytes_of(store, made) == [[png(i)] for i in range(3)]
    assert {row["source"] for row in rows(made)} == {"set"}
    assert make_items(store, str(tmp_path / "set"), split="train")[0].manifest.rows == 3
    with pytest.raises(UserError, match="test"):
        make_items(store, str(tmp_path / "set"), split="test")


def test_folder_of_parquet_shards_by_split(store: Store, tmp_path: Path) -> None:
    (tmp_path / "set" / "data").mkdir(parents=True)
    for split, start in (("train", 0), ("train", 2), ("test", 4)):
        table = pa.table(
            {"image": [png(start), png(start + 1)], "question": ["q", "r"], "answer": ["1", "2"]}
        )
        number = start // 2
        pq.write_table(table, tmp_path / "set" / "data" / f"{split}-{number:05d}-of-00002.parquet")
    made, _ = make_items(store, str(tmp_path / "set"))
    assert bytes_of(store, made) == [[png(i)] for i in range(4)]
    assert make_items(store, str(tmp_path / "set"), split="test", name="t")[0].manifest.rows == 2
    with pytest.raises(UsageError, match="splits"):
        make_items(store, str(tmp_path / "set"), split="dev")


def test_json_list_and_data_urls(store: Store, tmp_path: Path) -> None:
    import base64

    text = base64.b64encode(png(4)).decode()
    file = tmp_path / "rows.json"
    file.write_text(
        json.dumps(
            [
                {"image": f"data:image/png;base64,{text}", "question": "q", "answer": "1"},
                {"image": text, "question": "r", "answer": "1"},
                {"image": {"bytes": None, "path": "p.png"}, "question": "s", "answer": "1"},
            ]
        )
    )
    (tmp_path / "p.png").write_bytes(png(5))
    made, _ = make_items(store, str(file))
    assert bytes_of(store, made) == [[png(4)], [png(4)], [png(5)]]


@pytest.mark.parametrize(
    ("choices", "answer", "gold"),
    [
        (["cat", "dog"], "B", "B"),
        (["cat", "dog"], "(b)", "B"),
        (["cat", "dog"], "dog", "dog"),
        (["cat", "dog"], "B. dog", "B"),
        (["cat", "dog"], 1, "B"),
        ([1, 2, 3], 2, "2"),
        (["1", "2", "3"], 3, "3"),
        (["0", "1", "2"], 1, "B"),
        (["48.0", "12"], "48", "48.0"),
        ("['cat', 'dog']", "A", "A"),
        ('["cat", "dog"]', "A", "A"),
        ({"A": "cat", "B": "dog", "C": None}, "B", "B"),
        ({"label": ["A", "B"], "text": ["cat", "dog"]}, "B", "B"),
        ([3, 4.5], "4.5", "4.5"),
        (["A", "B"], "A", "A"),
    ],
)
def test_choices_as_data_sets_write_them(
    store: Store, tmp_path: Path, choices: Any, answer: Any, gold: str
) -> None:
    (tmp_path / "x.png").write_bytes(png())
    line = {"image": "x.png", "question": "Which?", "options": choices, "answer": answer}
    made, _ = make_items(store, str(write_jsonl(tmp_path / "rows.jsonl", [line])))
    (row,) = rows(made)
    assert row["answer"] == gold
    assert row["answer_type"] == "choice"
    assert len(row["choices"]) >= 2


@pytest.mark.parametrize(
    ("answer", "gold", "answer_type"),
    [
        (3, "3", "integer"),
        (3.0, "3", "integer"),
        (2.5, "2.5", "float"),
        (True, "yes", "yes_no"),
        (["7"], "7", "integer"),
        (" yes ", "yes", "yes_no"),
        ("<answer> 3 </answer>", "3", "integer"),
        ("so x = 4 and then \\boxed{4}", "4", "integer"),
    ],
)
def test_answers_as_data_sets_write_them(
    store: Store, tmp_path: Path, answer: Any, gold: str, answer_type: str
) -> None:
    (tmp_path / "x.png").write_bytes(png())
    line = {"image": "x.png", "question": "q", "answer": answer}
    (row,) = rows(make_items(store, str(write_jsonl(tmp_path / "rows.jsonl", [line])))[0])
    assert (row["answer"], row["answer_type"]) == (gold, answer_type)


def test_images_that_are_shared_or_turned(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png())
    (tmp_path / "turned.jpg").write_bytes(turned_jpeg())
    (tmp_path / "wrong_ending.gif").write_bytes(encoded(picture(9), "JPEG"))
    lines = [{"images": ["x.png"], "question": f"q{i}", "answer": "1"} for i in range(50)]
    lines += [
        {"images": ["x.png", "turned.jpg"], "question": "<image> or <image>?", "answer": "1"},
        {"images": ["wrong_ending.gif"], "question": "q", "answer": "1"},
    ]
    made, _ = make_items(store, str(write_jsonl(tmp_path / "rows.jsonl", lines)))
    assert made.manifest.rows == 52
    assert made.manifest.facts["converted_images"] == 1
    with ImageStore(store.images_folder) as images:
        assert len(images) == 3
        assert images.info(rows(made)[50]["images"][1]).height == 120
        assert images.info(rows(made)[51]["images"][0]).format == "JPEG"


def test_limit_sample_and_where(store: Store, tmp_path: Path) -> None:
    file = str(a_folder(tmp_path / "mine", 30))
    first, _ = make_items(store, file, limit=4, name="a")
    assert [row["answer"] for row in rows(first)] == ["0", "1", "2", "3"]
    some, _ = make_items(store, file, sample=8, seed=1, name="b")
    _, existed = make_items(store, file, sample=8, seed=1, name="b")
    other, _ = make_items(store, file, sample=8, seed=2, name="b")
    answers = [int(row["answer"]) for row in rows(some)]
    assert existed
    assert len(answers) == 8
    assert answers == sorted(answers), "the order is the source's"
    assert rows(other) != rows(some)
    hard, _ = make_items(
        store, file, where="meta->>'level' = '2' AND answer_type = 'integer'", name="c"
    )
    assert [row["answer"] for row in rows(hard)] == [str(i) for i in range(2, 30, 3)]
    both, _ = make_items(store, file, where="meta->>'level' = '2'", sample=3, name="d")
    assert both.manifest.rows == 3
    assert make_items(store, file, sample=500, name="e")[0].manifest.rows == 30
    with pytest.raises(UsageError, match="--where"):
        make_items(store, file, where="no such thing")
    with pytest.raises(UsageError, match="--where"):
        make_items(store, file, where="question IN (SELECT content FROM read_text('/etc/hosts'))")
    with pytest.raises(UserError, match="gives no rows"):
        make_items(store, file, where="question = 'never'")
    with pytest.raises(UsageError, match="exclude"):
        make_items(store, file, sample=2, limit=2)


def test_what_is_another_import_and_what_is_not(store: Store, tmp_path: Path) -> None:
    file = a_folder(tmp_path / "mine")
    first, _ = make_items(store, str(file))
    moved = tmp_path / "elsewhere"
    os.rename(tmp_path / "mine", moved)
    same, existed = make_items(store, str(moved / "rows.jsonl"))
    assert existed, "where the files lie is not identity"
    assert same.ref == first.ref
    picture_file = moved / "pictures" / "3.png"
    picture_file.write_bytes(png(77))
    changed, existed = make_items(store, str(moved / "rows.jsonl"))
    assert not existed
    assert changed.manifest.digest != first.manifest.digest
    picture_file.unlink()
    fewer, existed = make_items(store, str(moved / "rows.jsonl"))
    assert not existed
    assert fewer.manifest.failed == {"image file not found": 1}


def test_a_link_is_followed_and_a_path_outside_is_not(store: Store, tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "x.png").write_bytes(png())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pictures").symlink_to(tmp_path / "pool")
    line = {"image": "pictures/x.png", "question": "q", "answer": "1"}
    outside = {"image": "../pool/x.png", "question": "r", "answer": "1"}
    file = write_jsonl(tmp_path / "mine" / "rows.jsonl", [line, outside])
    made, _ = make_items(store, str(file))
    assert made.manifest.rows == 1
    assert made.manifest.failed == {"image path leads out of the folder": 1}
    assert "--image-root FOLDER" in made.manifest.facts["notes"][0]
    assert "--image-root FOLDER" in made.dropped.table().to_pylist()[0]["reason"]
    absolute = write_jsonl(
        tmp_path / "abs.jsonl", [{**line, "image": str(tmp_path / "pool" / "x.png")}]
    )
    assert make_items(store, str(absolute), image_root=tmp_path / "pool")[0].manifest.rows == 1


def test_duplicates_are_dropped_and_counted(store: Store, tmp_path: Path) -> None:
    file = a_folder(tmp_path / "mine", 3)
    file.write_text(file.read_text() * 3)
    made, _ = make_items(store, str(file))
    assert made.manifest.rows == 3
    assert made.manifest.rows_in == 9
    assert sum(made.manifest.dropped["duplicate"].values()) == 6


def test_the_same_question_with_another_image_is_another_item(store: Store, tmp_path: Path) -> None:
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    lines = [{"image": f"{i}.png", "question": "How many?", "answer": "1"} for i in range(2)]
    made, _ = make_items(store, str(write_jsonl(tmp_path / "rows.jsonl", lines)))
    assert made.manifest.rows == 2


def test_the_miniature(store: Store) -> None:
    settings = {"n": 12, "split": "heldout", "seed": 3}
    made, _ = make_items(store, "miniature", settings=settings)
    assert made.manifest.rows == 12
    assert make_items(store, "miniature", settings=settings)[1]
    with pytest.raises(UsageError, match="no setting"):
        make_items(store, "miniature", settings={"m": 12})
    with pytest.raises(UserError, match="n = 'abc'"):
        make_items(store, "miniature", settings={"n": "abc"})
    with pytest.raises(UserError, match="miniature"):
        make_items(store, "miniature", settings={"families": ["no such"]})


def test_the_command(tmp_path: Path) -> None:
    file = a_folder(tmp_path / "mine", 4)
    file.write_text(
        file.read_text() + '{"image": \n' + json.dumps({"problem": "x", "solution": "1"})
    )
    where = ("-w", tmp_path / "workspace")
    where = (*where, "--images", "required")
    done = run_vlt("import", file, *where)
    assert done.returncode == 3
    assert done.stdout.startswith("items@v1: 4 items, 2 failed")
    guessed = done.stderr.index("guessed from names: ")
    assert done.stderr.index("question = problem") < guessed < done.stderr.index("1 broken JSON")
    mapped = run_vlt(
        "import", file, "--map", "image=image,question=problem,answer=solution", *where
    )
    assert "guessed" not in mapped.stderr
    assert "1 broken JSON" in done.stderr
    assert "vlt show items@v1 --dropped" in done.stderr
    assert "already there" in run_vlt("import", file, *where).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing.jsonl"], 1, "no source"),
        (["nobody/at all"], 1, "no source"),
        (["rows.jsonl", "--map", "question"], 2, "--map"),
        (["rows.jsonl", "--map", "question=nope"], 2, "no column 'nope'"),
        (["rows.jsonl", "--map", "pic=image"], 2, "--map"),
        (["rows.jsonl", "--split", "test"], 2, "--split"),
        (["rows.jsonl", "--revision", "abc"], 2, "--revision"),
        (["rows.jsonl", "--set", "n=3"], 2, "takes no settings"),
        (["rows.jsonl", "--as", "no/good"], 2, "not a valid dataset name"),
        (["pictures"], 1, "metadata"),
        (["pictures/0.png"], 2, "is not one of"),
        (["no_answer.jsonl"], 2, "no column for answer"),
    ],
)
def test_wrong_usage_is_one_sentence(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    folder = tmp_path / "mine"
    a_folder(folder, 2)
    write_jsonl(folder / "no_answer.jsonl", [{"image": "pictures/0.png", "question": "q"}])
    said = vlt_error("import", *arguments, "-w", tmp_path / "workspace", code=code, cwd=folder)
    assert words in said


def test_a_pil_image_of_a_builder(tmp_path: Path) -> None:
    from vlt.datagen.sources.record import read_record

    columns = {"question": "q", "answer": "a", "images": "i"}
    record = read_record({"q": "x", "a": "1", "i": picture(2)}, columns, tmp_path)
    (data,) = record.images
    assert isinstance(data, bytes)
    assert io.BytesIO(data).read(4) == b"\x89PNG"


def test_kill_in_the_middle_then_again(tmp_path: Path) -> None:
    file = a_folder(tmp_path / "mine", 40)
    program = (
        "import os, signal, sys\n"
        "import vlt.images.store\n"
        "from vlt.datagen.sources import intake, items\n"
        "from vlt.workspace.store import Store\n"
        "vlt.images.store.PACK_BYTES = 30_000\n"
        "def killed(record, images, source, counted, n=[0]):\n"
        "    n[0] += 1\n"
        "    if n[0] == 25: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return sound(record, images, source, counted)\n"
        "sound, intake.sound_item = intake.sound_item, killed\n"
        "items.make_items(Store(sys.argv[1]), sys.argv[2])\n"
    )
    workspace = tmp_path / "workspace"
    command = [sys.executable, "-c", program, str(workspace), str(file)]
    root = Path(__file__).parents[1]
    assert subprocess.run(command, cwd=root, check=False).returncode == -signal.SIGKILL
    store = Store(workspace)
    assert store.all() == []
    with ImageStore(store.images_folder) as images:
        assert 0 < len(images) < 25, "packs that were complete stay"
    made, existed = make_items(store, str(file))
    assert not existed
    assert (made.manifest.ref, made.manifest.rows) == ("items@v1", 40)
    assert bytes_of(store, made) == [[png(i)] for i in range(40)]
    with ImageStore(store.images_folder) as images:
        assert len(images) == 40
        assert sum(pq.read_metadata(pack).num_rows for pack in images.packs) == 40
    assert not list((workspace / "datasets" / "items").glob(".building*"))
