"""Accuracy with its interval, and what is counted when answers are cut, missing or out of format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rows import dataset, item
from tests.scripted import Scripted, Through
from vlt.datagen.asking import Asking
from vlt.evaluation.evaluate import in_format, make_evaluation, wilson
from vlt.prompts import Prompt
from vlt.workspace.workspace import Workspace


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_as_in_the_literature(right: int, n: int, low: float, high: float) -> None:
    """The last is the worked example of Newcombe (1998), Statistics in Medicine 17, table I."""
    score = wilson(right, n)
    assert (round(score.low, 4), round(score.high, 4)) == (low, high)


def test_nothing_to_judge() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("response", "is_in_format"),
    [
        ("<think>a</think> <answer>1</answer>", True),
        ("<think>a</think> So it is 1. <answer>1</answer>", True),
        ("<answer>1</answer>", False),
        ("<think>a</think> 1", False),
        ("<think><answer>1</answer>", False),
        ("<think></think> <answer>1</answer>", False),
        (None, False),
    ],
)
def test_format(response: str | None, is_in_format: bool) -> None:
    assert in_format(response) == is_in_format


def test_facts_of_an_evaluation(workspace: Path) -> None:
    store = Workspace(workspace)
    questions = {
        "right": item("right", "1", source="a"),
        "right, no thought": item("right, no thought", "1", source="a"),
        "wrong": item("wrong", "1", source="b"),
        "cut": item("cut", "1", source="b"),
        "failed": item("failed", "1", source="b"),
    }
    says = {
        "right": ("<think>t</think><answer>1</answer>", "stop"),
        "right, no thought": ("<answer>1</answer>", "stop"),
        "wrong": ("<think>t</think><answer>2</answer>", "stop"),
        "cut": ("<think>t t t", "length"),
    }
    engine = Scripted(says)

    def evaluate() -> tuple[dict[str, object], bool]:
        made, existed = make_evaluation(
            store,
            items,
            Through("scripted", opens=lambda: engine),
            Asking(prompt=Prompt("{question}")),
            name="eval",
        )
        return made.manifest.facts, existed

    items = dataset(store, "items", "item", list(questions.values()))
    facts, existed = evaluate()
    assert not existed
    assert facts["accuracy"] == pytest.approx(vars(wilson(2, 5)))
    assert facts["strict"] == pytest.approx(vars(wilson(1, 5)))
    assert facts["sources"]["a"]["value"] == 1.0
    assert facts["sources"]["b"] == pytest.approx(vars(wilson(0, 3)))
    assert (facts["failed"], facts["samples"]) == (1, 5)
    assert facts["truncated"] == pytest.approx(1 / 5)
    assert facts["unanswered"] == pytest.approx(2 / 5)
    asked = engine.asked
    assert evaluate() == (facts, True)
    assert engine.asked == asked
