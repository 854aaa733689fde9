"""--shuffle-choices: another order for each sample, so that a guess shows; letters mapped back."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.rows import dataset, item
from tests.scripted import Answering, Through, words_of
from vlt.choice_order import letters_back, order_of, shown
from vlt.datagen.asking import Asking
from vlt.datagen.rollouts import make_rollouts
from vlt.evaluation.evaluate import make_evaluation
from vlt.filters.apply import make_filtered
from vlt.grade.shuffled import predicted_back
from vlt.judging.rubric import slots_of
from vlt.prompts import Prompt, question_text, render
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

PROMPT = Prompt("{question}")
CITIES = ["Paris", "Rome", "Oslo", "Bern"]


def asked(i: int = 0, answer: str = "B", choices: list[str] | None = None) -> dict[str, Any]:
    return item(f"Which one, {i}?", answer, choices=choices or CITIES, answer_type="choice")


@pytest.fixture
def opened(workspace: Path) -> Any:
    with Workspace(workspace) as store:
        yield store


def items(store: Workspace, n: int = 12) -> Dataset:
    """Golds by letter and by text; a third without choices."""
    rows = [asked(i, ["A", "B", "Oslo", "D"][i % 4]) for i in range(n)]
    return dataset(store, "items", "item", [*rows, item("How many?", "2")])


def lettered(content: Any) -> dict[str, str]:
    """Text of a choice -> its letter, as a prompt shows them."""
    return {text: letter for letter, text in re.findall(r"\((\w)\) (.+)", words_of(content))}


def samples(
    store: Workspace, rows: Dataset, engine: Answering, model: str = "m", **more: Any
) -> Dataset:
    asking = Asking(**{"prompt": PROMPT, "k": 8, "seed": 3, "shuffle_choices": True, **more})
    return make_rollouts(store, rows, Through(model, opens=lambda: engine), asking)[0]


def test_every_choice_stands_at_every_place_equally_often() -> None:
    orders = [order_of(asked(), 5, sample) for sample in range(8)]
    for place in range(4):
        assert Counter(order[place] for order in orders if order) == dict.fromkeys(range(4), 2)
    assert orders == [order_of(asked(), 5, sample) for sample in range(8)]
    assert orders != [order_of(asked(), 6, sample) for sample in range(8)]
    assert orders != [order_of(asked(1), 5, sample) for sample in range(8)]


@pytest.mark.parametrize(
    ("choices", "answer"),
    [
        ([], "2"),
        (["one"], "one"),
        (["1", "2", "All of the above", "4"], "A"),
        (["1", "2", "None of these"], "B"),
        (["1", "2", "Both A and B"], "B"),
        (["1", "2", "A and B"], "A"),
        (["A", "B", "C"], "B"),
        (["<image>", "<image>"], "A"),
        (["1", "2", "3"], "seven"),
        (["1", "2", "3"], "E"),
        (["4", "4", "3"], "4"),
    ],
)
def test_what_would_be_false_in_another_order_stays(choices: list[str], answer: str) -> None:
    row = {"question": "?", "images": [], "choices": choices, "answer": answer}
    assert [order_of(row, 0, sample) for sample in range(4)] == [None] * 4


@pytest.mark.parametrize("choices", [["None", "One"], ["Both eyes", "An ear"], ["A cat", "A dog"]])
def test_what_only_looks_like_it_is_shuffled(choices: list[str]) -> None:
    row = {"question": "?", "images": [], "choices": choices, "answer": "A"}
    assert order_of(row, 0, 0)


def test_as_many_choices_as_there_are_letters() -> None:
    row = {"question": "?", "images": [], "choices": [f"choice {i}" for i in range(26)]}
    assert sorted(order_of({**row, "answer": "Z"}, 0, 0) or []) == list(range(26))


@pytest.mark.parametrize(
    ("gold", "as_shown"),
    [
        ("B", "C"),
        ("Rome", "Rome"),
        ("rome", "rome"),
        ("A, D", "B, D"),
        ("AD", "B, D"),
        (None, None),
    ],
)
def test_the_gold_goes_with_its_choice(gold: str | None, as_shown: str | None) -> None:
    row = {"choices": CITIES, "answer": gold, "choice_order": [2, 0, 1, 3]}
    assert shown(row)["choices"] == ["Oslo", "Paris", "Rome", "Bern"]
    assert shown(row)["answer"] == as_shown
    assert "(B) Paris" in question_text({"question": "?", **row})
    slots = slots_of({"question": "?", **row, "predicted": "C", "response": "(A) it is"})
    assert slots["choices"].splitlines()[0] == "(A) Oslo" and slots["predicted"] == "A"


@pytest.mark.parametrize(
    ("said", "back"),
    [
        ("B", "A"),
        ("(B)", "A"),
        ("C. Rome", "B"),
        ("option A", "C"),
        ("A and B", "A, C"),
        ("Rome", "Rome"),
        ("Madrid", "Madrid"),
        (None, None),
    ],
)
def test_letters_are_mapped_back(said: str | None, back: str | None) -> None:
    row = {"choices": CITIES, "choice_order": [2, 0, 1, 3]}
    assert predicted_back(said, row) == back
    assert letters_back("ABCD", [2, 0, 1, 3]) == "A, B, C, D"


def test_who_reads_is_right_and_who_guesses_a_letter_is_found_out(opened: Workspace) -> None:
    rows = items(opened)
    gold = {
        row["question"]: CITIES["ABCD".index(row["answer"])] if len(row["answer"]) == 1 else "Oslo"
        for row in rows.rows()
        if row["choices"]
    }

    def reads(content: Any, _: int) -> str:
        letters = lettered(content)
        first = words_of(content).splitlines()[0]
        return f"<answer>{letters[gold[first]] if letters else 2}</answer>"

    for says, right in ((reads, 8), (lambda *_: "<answer>A</answer>", 2)):
        engine = Answering(says)
        made = samples(opened, rows, engine, f"right on {right}")
        graded, _ = make_filtered(opened, made, chain=["grade"], name="graded")
        for row in graded.rows():
            assert (row["choice_order"] is None) == (not row["choices"])
        counts = Counter(r["id"] for r in graded.rows() if r["verdict"] == "correct")
        by_choices = [counts[row["id"]] for row in rows.rows() if row["choices"]]
        assert by_choices == [right] * 12
        agreement = {r["agreement"] for r in graded.rows() if r["choices"]}
        assert agreement == {right / 8}, "agreement is that of choices, and not of letters"
        before = len(engine.asked)
        assert samples(opened, rows, engine, f"right on {right}").ref == made.ref
        samples(opened, rows, engine, f"right on {right}", limit=12)
        assert len(engine.asked) == before


def test_the_rows_say_what_was_shown(opened: Workspace) -> None:
    rows = items(opened)
    engine = Answering(lambda *_: "<think>It is.</think> <answer>A</answer>")
    made = samples(opened, rows, engine)
    prompts = Counter(words_of(content) for content, _ in engine.asked)
    again = Counter(
        words_of(render(PROMPT, row, images=True)[-1]["content"]) for row in made.rows()
    )
    assert again == prompts and len(prompts) > 12 * 3, (
        "what a training would show is what was asked"
    )
    assert made.manifest.parameters["shuffle_choices"] is True
    graded, _ = make_filtered(opened, made, chain=["grade"], name="graded")
    for row in graded.rows():
        if row["choices"]:
            assert row["predicted"] == "ABCD"[row["choice_order"][0]]
            gold = row["answer"] if len(row["answer"]) == 1 else "C"
            assert (row["verdict"] == "correct") == (row["predicted"] == gold)


def test_more_until_correct(opened: Workspace) -> None:
    """Each sample is graded by the order that it was shown."""
    rows = items(opened)
    engine = Answering(lambda *_: "<answer>A</answer>")
    made = samples(opened, rows, engine, k=1, until_correct=1, max_samples=4)
    graded, _ = make_filtered(opened, made, chain=["grade"], name="graded")
    by_item: dict[str, list[str]] = {}
    for row in graded.rows():
        by_item.setdefault(row["id"], []).append(row["verdict"])
    for verdicts in list(by_item.values())[:12]:
        assert verdicts == ["wrong"] * (len(verdicts) - 1) + ["correct"]
    assert len({len(verdicts) for verdicts in by_item.values()}) > 2


def test_samples_of_one_order_share_a_request_and_none_is_lost(opened: Workspace) -> None:
    """Two choices have two orders; items that ask the same in different orders meet in them."""
    twins = [asked(0, gold, ["up", "down"]) for gold in ("A", "B", "up", "down")]
    rows = dataset(opened, "items", "item", twins)
    engine = Answering(lambda _, sample: f"<answer>{'AB'[sample % 2]}</answer>")
    made = samples(opened, rows, engine, k=6)
    assert made.manifest.rows == 24 and not made.manifest.failed
    asked_for = Counter((words_of(content), sample) for content, sample in engine.asked)
    assert set(asked_for.values()) == {1}
    assert made.manifest.completion_tokens == len(engine.asked)


def test_pairs_are_of_one_order(opened: Workspace) -> None:
    from vlt.train.methods.dpo import DpoTraining
    from vlt.train.methods.dpo import rows as pairs

    engine = Answering(lambda _, sample: f"<answer>{'AB'[sample // 4]}</answer>")
    rows = [asked(i, "A", ["up", "down"]) for i in range(6)]
    made = samples(opened, dataset(opened, "items", "item", rows), engine)
    graded, _ = make_filtered(opened, made, chain=["verify"], name="sft")
    orders = {
        (row["id"], row["sample"]): row["choice_order"]
        for rows in (graded.rows(), graded.dropped.rows())
        for row in rows
    }
    found = pairs(opened, graded, DpoTraining(pairs=8)).to_pylist()
    assert found
    for row in found:
        assert orders[row["id"], row["sample"]] == orders[row["id"], row["rejected_sample"]]


def test_an_evaluation_with_shuffled_choices(opened: Workspace) -> None:
    engine = Answering(lambda *_: "<answer>A</answer>")
    asking = Asking(prompt=PROMPT, k=4, shuffle_choices=True)
    model = Through("m", opens=lambda: engine)
    made, _ = make_evaluation(opened, items(opened), model, asking)
    assert made.manifest.facts["accuracy"]["value"] == pytest.approx(12 / 4 / 13)
