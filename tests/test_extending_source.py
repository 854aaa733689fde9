"""A source of a newcomer's own, as docs/extending.md shows it, by the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.newcomer import Newcomer


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    """A folder of a newcomer's."""
    return Newcomer(tmp_path)


def test_the_page_as_it_is_written(newcomer: Newcomer) -> None:
    blocks = newcomer.write("A source")
    (command,) = blocks["bash"]
    found = json.loads(newcomer.run(f"{command.strip()} --json"))
    assert (found["ref"], found["rows"]) == ("items@v1", 2)
    shown = newcomer.run("vlt show items --json")
    assert "How many dots?" in shown
    sums = newcomer.folder / "sums.py"
    sums.write_text(sums.read_text().replace('"black"', '"red"'))
    again = json.loads(newcomer.run(f"{command.strip()} --json"))
    assert again["ref"] == "items@v2", "the drawing is another"
