"""Benchmarks in their real layouts become items: with upstream's prompts and the intended gold answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark_files import (
    FILES,
    FLOAT_HINT,
    FREE_QUERY,
    LETTER_HINT,
    LETTERED_QUERY,
    SAME,
    UNSEEN_QUERY,
    copy_of,
    parquet,
)
from tests.cli import vlt, vlt_error, vlt_json
from tests.hub_server import HubServer
from tests.imported import make_items
from vlt.datagen.benchmarks import BENCHMARKS, BY_NAME, prepare_benchmark
from vlt.errors import UserError
from vlt.prompts import question_text
from vlt.workspace.store import Dataset, Store

PLEASE = "rovide the correct option letter, e.g., A, B, C, D, E, at the end."
LETTER = f"Hint: Please answer the question and p{PLEASE}\nQuestion: "
OPEN = "Hint: Please answer the question requiring an answer.\nQuestion: "
SEEN = f"Hint: Please answer the question shown in the image. P{PLEASE}"
YES_NO = "Hint: Please answer the question requiring an answer of yes or no.\nQuestion: "

EMMA = [
    (LETTER + "Which fits <image_1> and <image_2>?\nChoices:\n(A) A\n(B) B\n(C) C", "B", 2),
    (OPEN + "How many bonds? <image_1>", "12", 1),
]
RED = LETTER + "Which is it in <image 1>?\nChoices:\n(A) It's red\n(B) it isn't\n(C) 3\n(D) 4"
EXPECTED: dict[str, list[tuple[str, str, int]]] = {
    # (what the model is asked, by upstream's scripts; gold; images)
    "mathvista": [
        (
            f"{LETTER_HINT}\nQuestion: Find the angle.\nChoices:\n(A) 140°\n(B) 145°\n(C) 150°",
            "B",
            1,
        ),
        (f"{FLOAT_HINT}\nQuestion: How far is it?", "1.2", 1),
        (f"{LETTER_HINT}\nQuestion: Find CD.\nChoices:\n(A) 9\n(B) 12\n(C) 18\n(D) 18", "C", 1),
    ],
    "mathverse": [
        (LETTERED_QUERY, "D", 1),
        (LETTERED_QUERY, "D", 1),
        (UNSEEN_QUERY, "D", 1),
        (FREE_QUERY, "S 23.5 ^\\circ W", 1),
    ],
    "mathvision": [
        (OPEN + "Which number is missing?\n<image1>", "60", 1),
        (
            LETTER
            + "Which kite is longest?\n<image1>\nChoices:\n(A) A\n(B) B\n(C) C\n(D) D\n(E) E",
            "C",
            1,
        ),
        (
            LETTER + "<image1>\nWhich?\nChoices:\n(A) <image2>\n(B) <image3>\n(C) <image4>",
            "B",
            1,
        ),
    ],
    "mathvision-testmini": [(OPEN + "Which number is missing?\n<image1>", "60", 1)],
    "mmmu-pro-vision": [(SEEN + "\nChoices:\n(A) one\n(B) two", "B", 1)],
    "mmmu-pro-4": [(RED, "B", 1)],
    "mmmu-pro-10": [
        (RED, "B", 1),
        (LETTER + "Pick one.\nChoices:\n(A) <image 3>\n(B) <image 1>\n(C) <image 2>", "A", 3),
        (
            LETTER
            + "Where is the sheath in <image 1>?\nChoices:\n(A) B\n(B) D\n(C) E\n(D) A\n(E) C",
            "C",
            1,
        ),
        (LETTER + "Which call is it? <image 1>\nChoices:\n(A) A\n(B) B\n(C) Not enough", "B", 1),
    ],
    **dict.fromkeys(("emma-math", "emma-chem", "emma-code", "emma-physics"), EMMA),
    "hallusionbench": [
        (YES_NO + SAME, "Yes", 1),
        (YES_NO + SAME, "No", 1),
        (YES_NO + "Is the left circle larger?", "No", 1),
        (YES_NO + "Is the right circle larger?", "No", 1),
        (YES_NO + "Is the right circle larger?", "No", 1),
    ],
}


def rows_of(items: Dataset) -> list[dict[str, Any]]:
    return items.table().to_pylist()


@pytest.mark.parametrize("name", list(BY_NAME))
def test_each_is_asked_as_upstream_asks_it(workspace: Path, tmp_path: Path, name: str) -> None:
    items, existed = prepare_benchmark(Store(workspace), name, copy_of(name, tmp_path / "copy"))
    assert (items.manifest.name, existed) == (name, False)
    rows = rows_of(items)
    assert [(question_text(r), r["answer"], len(r["images"])) for r in rows] == EXPECTED[name]
    assert items.manifest.facts["license"] == BY_NAME[name].license
    for row in rows:
        meta = json.loads(row["meta"])
        for path in BY_NAME[name].fields.values():
            value: Any = meta
            for key in path.split("."):
                value = value.get(key) if value else None
            assert value or path == "metadata.skills", (path, meta)


def test_every_benchmark_has_a_fixture_and_its_facts() -> None:
    assert set(FILES) == set(EXPECTED) == {b.name for b in BENCHMARKS}
    assert all(b.facts and b.license and b.rows for b in BENCHMARKS)


def test_what_the_row_had_is_kept(workspace: Path, tmp_path: Path) -> None:
    store = Store(workspace)
    (vista, _, twice), (pro, *_) = (
        rows_of(prepare_benchmark(store, name, copy_of(name, tmp_path / name))[0])
        for name in ("mathvista", "mmmu-pro-10")
    )
    meta = json.loads(vista["meta"])
    assert (meta["question"], meta["answer"], meta["pid"]) == ("Find the angle.", "145°", "1")
    assert "decoded_image" not in meta
    assert json.loads(twice["meta"])["answer"] == "18"
    assert json.loads(pro["meta"])["topic_difficulty"] == "Medium"


def test_a_row_that_cannot_be_read_is_set_aside_and_runs_nothing(
    workspace: Path, tmp_path: Path
) -> None:
    items, _ = prepare_benchmark(
        Store(workspace), "mmmu-pro-10", copy_of("mmmu-pro-10", tmp_path / "copy")
    )
    ((reason, count),) = items.manifest.failed.items()
    assert (reason, count) == ("options are no list", 1)


def test_the_same_question_twice_is_two_items(workspace: Path, tmp_path: Path) -> None:
    items, _ = prepare_benchmark(
        Store(workspace), "hallusionbench", copy_of("hallusionbench", tmp_path / "copy")
    )
    rows = rows_of(items)
    assert len({row["id"] for row in rows}) == 5
    assert [row["source"] for row in rows][-2:] == ["hallusionbench", "hallusionbench#2"]
    assert not items.manifest.dropped


def test_from_the_hub_with_its_revision(workspace: Path, tmp_path: Path) -> None:
    with HubServer(tmp_path / "hub") as hub:
        for name in ("mathvista", "mathverse"):
            path, data = parquet(name)
            card = ""
            if BY_NAME[name].config:
                card = (
                    "---\nconfigs:\n- config_name: testmini\n  data_files:\n"
                    f"  - split: testmini\n    path: {path}\n---\n"
                )
            hub.make("dataset", BY_NAME[name].repo, {path: data, "README.md": card.encode()})
        environment = hub.environment(tmp_path / "hf")
        for name in ("mathvista", "mathverse"):
            vlt("import", name, "-w", workspace, **environment)
    store = Store(workspace)
    for name in ("mathvista", "mathverse"):
        rows = rows_of(store.open(name))
        assert [(question_text(r), r["answer"], len(r["images"])) for r in rows] == EXPECTED[name]
        assert len(store.open(name).manifest.parameters["revision"]) == 40
        # Prepared is prepared: nothing is asked of a Hub that is gone.
        assert prepare_benchmark(store, name) == (store.open(name), True)


def test_a_part_of_a_benchmark_is_not_the_benchmark(workspace: Path, tmp_path: Path) -> None:
    store, copy = Store(workspace), copy_of("mathvision", tmp_path / "copy")
    part, _ = make_items(
        store, "mathvision", name="mathvision", limit=1, settings={"path": str(copy)}
    )
    whole, existed = prepare_benchmark(store, "mathvision", copy)
    assert not existed and whole.manifest.rows == 3 and part.manifest.rows == 1
    assert prepare_benchmark(store, "mathvision") == (whole, True)


def test_benchmarks_are_never_the_newest_items(workspace: Path, tmp_path: Path) -> None:
    store = Store(workspace)
    prepare_benchmark(store, "mathvision", copy_of("mathvision", tmp_path / "copy"))
    with pytest.raises(UserError, match="no items in workspace"):
        store.newest("item", "vlt import SOURCE")


def test_sentences_for_what_cannot_be(workspace: Path, tmp_path: Path) -> None:
    where = ("-w", workspace)
    copy = copy_of("mathvision", tmp_path / "copy")
    assert "MathLLMs/MathVision" in vlt_error(
        "import", "mathvision", "--split", "train", *where, code=2
    )
    assert "no setting 'n'" in vlt_error("import", "mathvision", "--set", "n=3", *where, code=2)
    wrong = vlt_error("import", "emma-math", "--set", f"path={copy}", *where, code=2)
    assert "image_1" in wrong or "splits" in wrong
    assert "not a file or folder" in vlt_error(
        "eval", "mathvista", "--path", tmp_path / "none", "--model", "m", *where, code=2
    )
    assert "is not one of" in vlt_error(
        "eval", "heldout", "--path", copy, "--model", "m", *where, code=2
    )


def test_they_are_listed() -> None:
    listed = vlt_json("eval", "--list")
    assert [row["name"] for row in listed] == list(BY_NAME)
    text = vlt("eval", "--list")
    assert "AI4Math/MathVista" in text and "OpenVLThinker-7B 70.2" in text
    assert "mathvista" in vlt("sources")
