"""Reasons of verdicts, as people read them; what is stored stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import vlt, vlt_json
from tests.rows import dataset, item, sample
from tests.viewed import serving
from vlt.grade import grade
from vlt.grade.reasons import readable, reason_words
from vlt.workspace.store import Store


@pytest.mark.parametrize(
    ("answer", "gold", "stored", "words"),
    [
        ("7", "8", "whole numbers", "another whole number"),
        ("07", "7", "whole numbers", "the same whole number"),
        ("7.50", "7.5", "same number", "the same number"),
        ("7", "7", "same text", "the same text"),
        ("no", "yes", "yes or no", "yes and no swapped"),
        ("3:30", "4:30", "times", "another time of day"),
        ("x < 3", "3", "a relation", "a relation, where gold is a value"),
        ("7.5", "8.5", "another answer", "another answer"),
    ],
)
def test_a_reason_says_how_the_answer_differs(
    answer: str, gold: str, stored: str, words: str
) -> None:
    made = grade(f"<answer>{answer}</answer>", gold)
    assert (made.reason, reason_words(made.reason, made.verdict)) == (stored, words)


def test_options_and_reasons_of_ones_own() -> None:
    assert reason_words("option B", "wrong") == "option B, not the right one"
    assert reason_words("option B", "correct") == "option B, the right one"
    assert reason_words("too long for me", "wrong") == "too long for me"
    other = {"filter": "mine", "reason": "wrong: whole numbers"}
    assert readable(other) == other, "another filter's reason"


def test_people_read_words_and_programs_the_rule(workspace: Path) -> None:
    rows = [sample("<answer>7</answer>", n, item("How many?", "8", id=str(n))) for n in range(2)]
    dataset(Store(workspace), "samples", "sample", rows)
    vlt("filter", "samples", "--verify", "--as", "sft", "-w", workspace)
    (row, _) = vlt_json("show", "sft", "--dropped", "-w", workspace)
    assert (row["verdict_reason"], row["reason"]) == ("whole numbers", "wrong: whole numbers")
    shown = vlt("show", "sft", "--dropped", "-n", "1", "-w", workspace)
    assert "verdict_reason  another whole number" in shown
    assert "reason  wrong: another whole number" in shown
    assert "another whole number" in vlt("grade", "samples", "-w", workspace)
    with serving(workspace) as site:
        assert "wrong: another whole number" in site.get("/d/sft@v1?dropped=1").text
