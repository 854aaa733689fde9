"""`vlt grade` on a file: counts, disagreements, and one sentence for a mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vlt.cli.grade import grade
from vlt.errors import UsageError

app = typer.Typer()
app.command("grade")(grade)

ROWS = [
    {"response": "<answer>2/4</answer>", "answer": "1/2", "id": "a"},
    {"response": "<answer>month</answer>", "solution": "day"},
    {"response": "<answer>B. 5</answer>", "answer": "B", "options": ["4", "5"]},
    {"response": "<answer>104</answer>", "answer": "100"},
    {"response": "no idea", "answer": ""},
]


@pytest.fixture
def responses(tmp_path: Path) -> Path:
    path = tmp_path / "responses.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n", "utf-8")
    return path


def _run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_counts_and_disagreements(responses: Path) -> None:
    found = json.loads(_run(str(responses), "--grader", "vlt", "--grader", "paper", "--json"))
    assert found["rows"] == 5
    assert found["graders"]["vlt"] == {"correct": 2, "wrong": 2, "unjudged": 1}
    assert found["graders"]["paper"]["correct"] == 1
    assert [row["id"] for row in found["disagreements"]] == ["a", 2, 3, 5]
    assert found["disagreements"][0]["vlt"] == "correct"
    assert found["disagreements"][0]["paper"] == "wrong"


def test_a_convention_can_be_set(responses: Path) -> None:
    found = json.loads(_run(str(responses), "--set", "relative_tolerance=0.05", "--json"))
    assert found["graders"]["vlt"]["correct"] == 3


def test_conventions_stand_in_the_name(responses: Path) -> None:
    named = "vlt:relative_tolerance=0.05"
    found = json.loads(_run(str(responses), "--grader", "vlt", "--grader", named, "--json"))
    assert found["graders"]["vlt"]["correct"] == 2
    assert found["graders"][named]["correct"] == 3


def test_a_null_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "nulls.jsonl"
    rows = [{"response": None, "answer": "5"}, {"response": "5", "answer": None}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
    found = json.loads(_run(str(path), "--json"))
    assert found["graders"]["vlt"] == {"correct": 0, "wrong": 1, "unjudged": 1}
    assert "no final answer" in _run(str(path))


def test_the_table_shows_what_is_not_correct(responses: Path) -> None:
    shown = _run(str(responses))
    assert "month" in shown
    assert "no gold answer" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--grader", "guess"), "'guess' is not a grader"),
        (("--set", "tolerance=1"), "there is no such convention"),
        (("--set", "percent=half"), "not one of share, sign, loose"),
        (("--grader", "vlt:percent=half"), "not one of share, sign, loose"),
    ],
)
def test_a_mistake_is_one_sentence(responses: Path, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        CliRunner().invoke(app, [str(responses), *arguments], catch_exceptions=False)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"response": "5", "answer": "5"}\nnot json\n', "utf-8")
    with pytest.raises(UsageError, match="line 2"):
        CliRunner().invoke(app, [str(path)], catch_exceptions=False)
