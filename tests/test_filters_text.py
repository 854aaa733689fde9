"""Filters on a response's text: leakage, format, disagreement, language."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rows import item, sample
from tests.test_filters import filtered, kept, store, thought, why
from vlt.workspace.store import Store

__all__ = ["store"]

LEAKS = {
    "Based on the caption, it is 2.": "Based on the image, it is 2.",
    "The image description says there are two.": "The image shows there are two.",
    "as described in the provided caption, 2": "as shown in the image, 2",
    "Looking at the given image's description: 2": "Looking at the image: 2",
    "This caption mentions two": "This image mentions two",
}
FINE = ["It is 2, since the image shows two.", "Captions abound.", "A description of it"]


@pytest.mark.parametrize("leak", LEAKS)
def test_leakage_is_dropped_or_rewritten(store: Store, leak: str) -> None:
    rows = [thought(leak), thought(FINE[0], index=1)]
    dropped = filtered(store, rows, "leakage")
    assert kept(dropped) == [1]
    assert why(dropped)[0].startswith("leakage: speaks of the caption: ")
    rewritten = filtered(store, rows, {"leakage": "rewrite"})
    row = rewritten.table().to_pylist()[0]
    assert row["reasoning"] == LEAKS[leak]
    assert row["response"] == f"<think>{LEAKS[leak]}</think>\n<answer>2</answer>"
    assert rewritten.manifest.rewritten == {"leakage": 1}
    twice = filtered(store, rewritten.table().to_pylist(), {"leakage": "rewrite"}, "leakage")
    assert twice.table().equals(rewritten.table())


def test_no_leak_and_a_question_about_a_caption(store: Store) -> None:
    of = item("Which caption fits?")
    rows = [thought(text, index=i) for i, text in enumerate(FINE)]
    made = filtered(store, [*rows, thought("The caption says 2.", index=9, of=of)], "leakage")
    assert kept(made) == [0, 1, 2, 9]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("<think>a</think>\n<answer>2</answer>", None),
        (" <think>a\nb</think><answer>\n2</answer>\n", None),
        ("<think>a</think>\n2", "not one <answer>"),
        ("a</think> <answer>2</answer>", "not one <think>"),
        ("<think>a <answer>2</answer>", "not one </think>"),
        ("<think>a</think> so <answer>2</answer>", "not think, then answer"),
        ("<think> </think> <answer>2</answer>", "not think, then answer"),
        ("<think>a</think> <answer> </answer>", "not think, then answer"),
        ("<answer>2</answer> <think>a</think>", "not think, then answer"),
        ("<think>a</think><answer>1</answer><answer>2</answer>", "not one <answer>"),
        ("", "not one <think>"),
    ],
)
def test_format(store: Store, response: str, reason: str | None) -> None:
    made = filtered(store, [sample(response)], "format")
    assert why(made) == ({0: f"format: {reason}"} if reason else {})


def test_format_with_a_boxed_answer(store: Store) -> None:
    rows = [sample("<think>a</think> So \\boxed{2}."), sample("<think>a</think> So 2.", 1)]
    made = filtered(store, rows, {"format": "boxed"})
    assert kept(made) == [0]


def test_disagreement(store: Store) -> None:
    texts = ["So the answer is 2.", "So the answer is 3.", "It may be 7.", ""]
    rows: list[dict[str, Any]] = [thought(text, index=i) for i, text in enumerate(texts)]
    made = filtered(store, rows, "disagreement")
    assert kept(made) == [0, 2, 3]
    assert why(made)[1].startswith("disagreement: reasoning and answer differ: 3")


def test_language(store: Store) -> None:
    texts = [
        "α + β = 2, café",
        "所以答案是二",
        "so the answer is 二" + " and so on" * 50,
        "Ответ 2",
    ]
    rows = [thought(text, index=i) for i, text in enumerate(texts)]
    rows.append(thought("所以答案是二", index=9, of=item("多少?")))
    made = filtered(store, rows, "language")
    assert kept(made) == [0, 2, 9]
    assert why(made)[3].startswith("language: another script: ")
