"""Signs that need no judge: agreement, items solved without the image, captions that suffice."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.cli import vlt, vlt_error
from tests.rows import dataset, item, sample
from tests.scripted import Answering, Through, words_of
from vlt.datagen.asking import Asking
from vlt.datagen.rollouts import make_rollouts
from vlt.errors import UsageError
from vlt.evaluation.interval import wilson
from vlt.filters.apply import make_filtered
from vlt.filters.stats import dataset_stats
from vlt.grade.agreement import agreement, majority
from vlt.prompts import Prompt
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace


def said(*answers: str | None, **row: Any) -> list[dict[str, Any]]:
    return [
        {"predicted": a, "question": "?", "choices": [], "answer_type": None, **row}
        for a in answers
    ]


@pytest.mark.parametrize(
    ("answers", "answer", "count"),
    [
        (["1/2", "0.5", "\\frac{2}{4}", "3"], "1/2", 3),
        (["yes", "Yes.", "no"], "yes", 2),
        (["4", "5", "5", None], "5", 2),
        (["7", "8"], "7", 1),
        (["5 cm", "5 km", "5 km"], "5 km", 2),
    ],
)
def test_the_majority_as_the_grader_sees_it(
    answers: list[str | None], answer: str, count: int
) -> None:
    found = majority(said(*answers))
    assert found
    assert (found.answer, found.count, found.samples) == (answer, count, len(answers))


def test_letters_and_texts_of_choices_are_one_answer() -> None:
    found = majority(said("B", "(B)", "Rome", "A", choices=["Paris", "Rome"], answer_type="choice"))
    assert found and (found.answer, found.count) == ("B", 3)


def test_agreement() -> None:
    assert agreement(said("1")) is None
    assert agreement(said(None, None)) == 0.0
    assert agreement(said("1", "1", "2", None)) == 0.5


def test_items_whose_samples_agree(workspace: Path) -> None:
    """Drawn samples have the column, others are counted; both come to the same."""
    items = [item(f"{i}", "2") for i in range(8)]

    def says(content: Any, number: int) -> str:
        return f"<answer>{2 if number < int(words_of(content)) else 10 + number}</answer>"

    with Workspace(workspace) as opened:
        rows = dataset(opened, "items", "item", items)
        model = Through("m", opens=lambda: Answering(says))
        drawn, _ = make_rollouts(opened, rows, model, Asking(prompt=Prompt("{question}"), k=8))
        shares = {row["question"]: row["agreement"] for row in drawn.rows()}
        assert shares == {str(i): max(1, i) / 8 for i in range(8)}
        bare = [{**row, "agreement": None} for row in drawn.rows()]
        own = dataset(opened, "own", "sample", bare)
        kept = []
        for samples in (drawn, own):
            made, _ = make_filtered(opened, samples, chain=[{"agreement": 0.5}], name="agreeing")
            kept.append(sorted((row["question"], row["sample"]) for row in made.rows()))
            assert made.manifest.dropped == {"agreement": {"agreement below the minimum": 32}}
        assert kept[0] == kept[1] == [(str(i), s) for i in range(4, 8) for s in range(8)]
        one = dataset(opened, "one", "sample", [sample("<answer>2</answer>", predicted="2")])
        made, _ = make_filtered(opened, one, chain=["agreement"], name="none")
        assert made.manifest.dropped == {"agreement": {"fewer than two samples": 1}}
        with pytest.raises(UsageError, match="comes after verify"):
            make_filtered(opened, drawn, chain=["verify", "agreement"])
        found = dataset_stats(drawn)["agreement"]
        assert found["items"] == 8 and found["mean"] == pytest.approx(29 / 64, abs=1e-3)


def blind_world(store: Workspace, n: int = 120, seed: int = 0) -> tuple[Dataset, set[str], Any]:
    """Items a third of which give their answer away, the ids of these, and a model that reads or guesses."""
    rng = random.Random(seed)
    rows, telling = [], set()
    for i in range(n):
        answer, told = str(rng.randrange(1, 5)), i % 3 == 0
        text = f"On picture {i} are {answer} dots. How many?" if told else f"How many dots on {i}?"
        rows.append(item(text, answer, images=[f"{i:064x}"]))
        if told:
            telling.add(rows[-1]["id"])

    def says(content: Any, number: int) -> str:
        text = words_of(content)
        if " are " in text:
            guess = text.partition(" are ")[2].split()[0]
        else:
            guess = random.Random(f"{text} {number}").choice("1234")
        return f"<answer>{guess}</answer>"

    return dataset(store, "items", "item", rows), telling, says


def test_items_that_give_their_answers_away_go_and_no_others(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Workspace(workspace) as opened:
        items, telling, says = blind_world(opened)
        model = Through("m", opens=lambda: Answering(says))
        asking = Asking(prompt=Prompt("{question}"), k=8, images="none")
        drawn, _ = make_rollouts(opened, items, model, asking, name="blind-answers")
        with pytest.raises(Exception, match="has no verdicts"):
            make_filtered(opened, items, chain=[{"needs_image": drawn.ref}], name="looking")
        make_filtered(opened, drawn, chain=["grade"], name="blind")
    vlt("filter", "items", "--needs-image", "blind", "--as", "looking", "-w", workspace)
    made = Store(workspace).open("looking")
    gone = {row["id"] for row in made.dropped.rows()}
    right = len(gone & telling)
    precision, recall = wilson(right, len(gone)), wilson(right, len(telling))
    with capsys.disabled():
        print(f"\n--needs-image: precision {precision}, recall {recall}, of {len(items)} items")
    assert gone == telling
    assert made.kind == "item" and [p.name for p in made.manifest.parents] == ["items", "blind"]
    # A new version of the items, where no other name is given.
    vlt("filter", "items", "--needs-image", "blind", "--max-blind", 0.9, "-w", workspace)
    assert Store(workspace).open("items").manifest.version == 2


def test_samples_that_saw_the_image_say_nothing_of_it(workspace: Path) -> None:
    with Workspace(workspace) as opened:
        items, _, says = blind_world(opened, 12)
        model = Through("m", opens=lambda: Answering(says))
        drawn, _ = make_rollouts(opened, items, model, Asking(prompt=Prompt("{question}"), k=2))
        make_filtered(opened, drawn, chain=["grade"], name="saw")
    assert "was sampled with the images" in vlt_error(
        "filter", "items", "--needs-image", "saw", "-w", workspace, code=2
    )


def test_captions_that_are_enough(workspace: Path) -> None:
    """By the samples of that very caption: another caption of the same item is another matter."""
    store = Store(workspace)
    items = [item(f"{i}", "2") for i in range(4)]
    caption = {"caption_model": "c", "caption_finish_reason": "stop"}
    good = [{**row, "caption": "two dots", **caption} for row in items]
    bad = [{**row, "caption": "a picture", **caption} for row in items]
    unread = [{**row, "caption": "never read", **caption} for row in items[:1]]
    samples = [
        sample(f"<answer>{2 if n < i else 3}</answer>", n, {**row, "verdict": verdict})
        for rows, verdicts in ((good, None), (bad, "wrong"))
        for i, row in enumerate(rows)
        for n in range(3)
        for verdict in [verdicts or ("correct" if n < i else "wrong")]
    ]
    numbered: dict[str, int] = {}
    for row in samples:
        row["sample"] = numbered[row["id"]] = numbered.get(row["id"], -1) + 1
    dataset(store, "samples", "sample", samples)
    for name, rows in (("good", good), ("bad", bad), ("unread", unread)):
        dataset(store, name, "caption", rows)
        vlt("filter", name, "--sufficient", "samples", "--sufficiency", 0.5, "-w", workspace)
    assert [row["question"] for row in store.open("good").rows()] == ["2", "3"]
    assert not store.open("bad").manifest.rows
    reasons = store.open("unread").manifest.dropped["sufficient"]
    assert reasons == {"no graded sample of it": 1}
    found = dataset_stats(store.open("samples"))["sufficiency"]
    assert found["captions"] == 8
    assert found["mean"] == pytest.approx((1 / 3 + 2 / 3 + 1) / 8, abs=1e-3)
