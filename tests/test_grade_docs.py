"""docs/grading.md: every row of its tables is what the grader says."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from vlt.grade import Options, grade

PAGE = (Path(__file__).parents[1] / "docs" / "grading.md").read_text("utf-8")
HEADS = {
    "| gold | response | verdict |": ("gold", "response", "verdict"),
    "| gold | options | response | verdict |": ("gold", "options", "response", "verdict"),
}


def _rows() -> list[dict[str, str]]:
    rows = []
    names: tuple[str, ...] = ()
    for line in PAGE.splitlines():
        if line in HEADS:
            names = HEADS[line]
        elif not line.startswith("|"):
            names = ()
        elif names and not line.startswith("|---"):
            cells = re.findall(r"`([^`]*)`|\b(correct|wrong)\b(?= \|)", line)
            values = [(code or word).replace("⏎", "\n") for code, word in cells]
            assert len(values) == len(names), line
            rows.append(dict(zip(names, values, strict=True)))
    return rows


ROWS = _rows()


def test_the_page_has_its_tables() -> None:
    assert len(ROWS) > 80
    assert {row["verdict"] for row in ROWS} == {"correct", "wrong"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['gold']} / {row['response'][:40]}")
def test_a_row_is_what_the_grader_says(row: dict[str, str]) -> None:
    choices = row["options"].split("; ") if "options" in row else None
    graded = grade(row["response"], row["gold"], choices=choices)
    assert graded.verdict == row["verdict"], graded


def test_every_option_has_a_row_with_its_default() -> None:
    found = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", PAGE.split("## Options")[1], re.M))
    for field in fields(Options):
        default = field.default
        said = (
            f"{default:g}" if isinstance(default, float) and not default else str(default).lower()
        )
        assert found.pop(field.name) == said
    assert not found
