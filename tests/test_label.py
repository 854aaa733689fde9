"""vlt import --unlabelled and vlt label: items without gold answers, labelled by majority."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.cli import run_vlt, vlt, vlt_error, vlt_json
from tests.imported import make_items
from tests.rows import dataset, item
from tests.scripted import Answering, Through, words_of
from vlt.datagen.asking import Asking
from vlt.datagen.hub.card import dataset_card
from vlt.datagen.rollouts import make_rollouts
from vlt.errors import UsageError, UserError
from vlt.evaluation.evaluate import make_evaluation
from vlt.evaluation.interval import wilson
from vlt.evaluation.label import Labelling, calibration, make_labels
from vlt.filters.apply import make_filtered
from vlt.filters.stats import dataset_stats
from vlt.prompts import Prompt
from vlt.workspace.schema import MAJORITY, NO_GOLD
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace

PROMPT = Prompt("{question}")
ROWS: list[dict[str, Any]] = [
    {"question": "How many, 1?", "answer": "4"},
    {"question": "How many, 2?", "answer": None},
    {"question": "How many, 3?", "answer": "  "},
    {"question": "How many, 4?"},
    {"question": "Which? 5", "choices": ["Paris", "Rome", "Oslo"]},
]


@pytest.fixture
def opened(workspace: Path) -> Any:
    with Workspace(workspace) as store:
        yield store


def written(tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def drawn(store: Workspace, items: Dataset, says: Any, k: int = 8, **asked: Any) -> Dataset:
    model = Through("m", opens=lambda: Answering(says))
    return make_rollouts(store, items, model, Asking(prompt=PROMPT, k=k, **asked))[0]


def test_items_without_golds(workspace: Path, tmp_path: Path) -> None:
    file = written(tmp_path, ROWS)
    store = Store(workspace)
    assert make_items(store, file, name="strict")[0].manifest.failed == {
        "no answer": 3,
        "answer is empty": 1,
    }
    items, _ = make_items(store, file, unlabelled=True)
    found = {row["question"]: row for row in items.rows()}
    assert [row["answer"] for row in found.values()] == ["4", None, None, None, None]
    assert [row["answer_source"] for row in found.values()] == [None, *[NO_GOLD] * 4]
    assert found["Which? 5"]["answer_type"] == "choice"
    assert found["How many, 2?"]["answer_type"] is None
    assert items.manifest.parameters["unlabelled"] is True
    gold = next(r for r in store.open("strict").rows())
    assert gold["id"] == found["How many, 1?"]["id"], "a gold is a gold, however it came"
    assert dataset_stats(items)["answers"] == {"none": 4, "gold": 1}
    assert "answers" not in dataset_stats(store.open("strict"))


def test_no_column_of_answers_at_all(workspace: Path, tmp_path: Path) -> None:
    file = written(tmp_path, [{"question": f"{i}?"} for i in range(3)])
    said = run_vlt("import", file, "-w", workspace)
    assert said.returncode and "no column for answer" in said.stderr
    told = run_vlt("import", file, "--unlabelled", "--where", "question <> '1?'", "-w", workspace)
    assert told.returncode == 0 and "2 rows have no gold answer" in told.stderr
    text = written(tmp_path, [{"question": "Which?\n(A) up\n(B) down\n(C) left"}])
    items, _ = make_items(Store(workspace), text, unlabelled=True, name="options")
    assert next(items.rows())["choices"] == ["up", "down", "left"]


def test_what_has_no_gold_is_unjudged(opened: Workspace, tmp_path: Path) -> None:
    items, _ = make_items(opened, written(tmp_path, ROWS[1:]), unlabelled=True)
    samples = drawn(opened, items, lambda *_: "<answer>4</answer>")
    graded, _ = make_filtered(opened, samples, chain=["grade"], name="graded")
    assert {(r["verdict"], r["verdict_reason"]) for r in graded.rows()} == {
        ("unjudged", "no gold answer")
    }
    with pytest.raises(UserError, match="no gold answer"):
        make_evaluation(
            opened, items, Through("m", opens=lambda: Answering(str)), Asking(prompt=PROMPT)
        )


def world(store: Workspace, n: int = 200) -> tuple[Dataset, Any]:
    """Items with gold answers, and a model that is correct more often the more samples of an item agree."""
    rows = [item(f"{i}", str(i % 7)) for i in range(n)]

    def says(content: Any, number: int) -> str:
        i = int(words_of(content))
        ease, draw = (i % 10) / 9, random.Random(f"{i} {number}").random()
        other = (i + 1) % 7 if number % 3 else (i + number) % 7
        return f"<answer>{i % 7 if draw < ease else other}</answer>"

    return dataset(store, "items", "item", rows), says


def test_the_majority_is_the_answer(opened: Workspace) -> None:
    items, says = world(opened)
    samples = drawn(opened, items, says)
    made, existed = make_labels(opened, samples)
    assert not existed and make_labels(opened, samples)[1]
    golds = {row["id"]: row for row in items.rows()}
    answers: dict[str, list[str]] = {}
    for row in samples.rows():
        answers.setdefault(row["id"], []).append(row["predicted"])
    for row in made.rows():
        label = json.loads(row["meta"])["label"]
        said = answers[label["item"]]
        assert said.count(row["answer"]) / 8 == label["share"] >= 0.75
        assert row["answer_source"] == MAJORITY and label["samples"] == 8
        assert row["question"] == golds[label["item"]]["question"]
        assert row["id"] not in golds, "a label is never taken for a gold"
    few = sum(max(map(said.count, said)) < 6 for said in answers.values())
    assert made.manifest.dropped == {"label": {"no majority": few}}
    assert made.manifest.rows == 200 - few
    assert dataset_stats(made)["answers"] == {"majority": 200 - few}


def test_calibration(opened: Workspace) -> None:
    items, says = world(opened)
    made, _ = make_labels(opened, drawn(opened, items, says), Labelling(majority=0.65))
    rows = made.manifest.facts["calibration"]
    assert [row["majority"] for row in rows] == [0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0]
    labelled = [row["labelled"] for row in rows]
    assert labelled == sorted(labelled, reverse=True) and rows[0]["of"] == 200
    assert rows[-1]["precision"]["value"] > rows[0]["precision"]["value"]
    golds = {row["id"]: row["answer"] for row in items.rows()}
    right = [golds[json.loads(r["meta"])["label"]["item"]] == r["answer"] for r in made.rows()]
    assert rows[2]["precision"] == vars(wilson(sum(right), len(right)))
    assert calibration([], 0.75) == []


def test_too_few_samples_and_whom_golds_only_measure(opened: Workspace, tmp_path: Path) -> None:
    items, _ = make_items(opened, written(tmp_path, ROWS), unlabelled=True)
    samples = drawn(opened, items, lambda *_: "<answer>A</answer>", k=4)
    with pytest.raises(UserError, match=r"is labelled \(5 too few samples\)"):
        make_labels(opened, samples)
    assert not opened.versions("labelled")
    made, _ = make_labels(opened, samples, Labelling(min_samples=4, only_unlabelled=True))
    assert made.manifest.dropped == {"label": {"has a gold answer": 1}}
    assert [row["answer"] for row in made.rows()] == ["A"] * 4
    assert made.manifest.facts["calibration"][0]["precision"]["n"] == 1
    with pytest.raises(UsageError, match="vlt label needs samples"):
        make_labels(opened, items)
    blind = drawn(opened, items, lambda *_: "<answer>A</answer>", images="none")
    with pytest.raises(UsageError, match="was sampled with other images"):
        make_labels(opened, blind)


def test_samples_that_were_taken_out_count_and_failed_ones_do_not(opened: Workspace) -> None:
    items = dataset(opened, "items", "item", [item("1", "2")])
    samples = drawn(opened, items, lambda _, n: f"<answer>{2 if n < 3 else 5}</answer>")
    verified, _ = make_filtered(opened, samples, chain=["verify"], name="sft")
    assert verified.manifest.rows == 3
    made, _ = make_labels(opened, verified, Labelling(majority=0.6))
    assert [row["answer"] for row in made.rows()] == ["5"]


def test_what_is_asked_again_of_labelled_items_costs_nothing(opened: Workspace) -> None:
    """The same prompts: the samples come from the journal, and carry the source of their answers."""
    items, says = world(opened, 40)
    engine = Answering(says)
    model, asking = Through("m", opens=lambda: engine), Asking(prompt=PROMPT, k=8)
    samples, _ = make_rollouts(opened, items, model, asking)
    asked = len(engine.asked)
    made, _ = make_labels(opened, samples)
    again, _ = make_rollouts(opened, made, model, asking, name="again")
    assert len(engine.asked) == asked
    kept, _ = make_filtered(opened, again, chain=["verify"], name="sft")
    assert kept.manifest.rows >= 0.75 * 8 * made.manifest.rows
    assert {row["answer_source"] for row in kept.rows()} == {MAJORITY}
    assert dataset_stats(kept)["answers"] == {"majority": kept.manifest.rows}
    for version in (made, kept):
        card = dataset_card(opened, version, opened.images, repo="me/data")
        assert "with the majority answer of a model's samples instead of a gold" in card
    card = dataset_card(opened, items, opened.images, repo="me/data")
    assert "majority answer" not in card.split("## Columns")[0]


def test_the_command_prints_the_calibration(opened: Workspace) -> None:
    items, says = world(opened)
    drawn(opened, items, says)
    opened.close()
    told = vlt("label", "samples", "--majority", 0.75, "--min-samples", 8, "-w", opened.root)
    assert "0.75 *" in told and "labelled@v1" in told and "%" in told
    found = vlt_json("label", "samples", "-w", opened.root)
    assert found["existed"] and len(found["calibration"]) == 7
    sentence = vlt_error("label", "items", "-w", opened.root, code=2)
    assert "vlt label needs samples" in sentence


def test_from_python(opened: Workspace) -> None:
    import vlt as face

    items, says = world(opened)
    samples = drawn(opened, items, says)
    opened.close()
    made = face.Workspace(opened.root).label(samples.ref, majority=0.9)
    assert made.manifest.parameters == {
        "majority": 0.9,
        "min_samples": 8,
        "only_unlabelled": False,
    }
