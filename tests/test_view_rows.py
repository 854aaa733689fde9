"""The rows behind vlt view's grid, if there are more than it caches or counts at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment

from tests.viewed import fill
from vlt.errors import UsageError, UserError
from vlt.view import pages, rows
from vlt.view.guard import Token
from vlt.view.pages import Pages
from vlt.view.rows import Rows
from vlt.view.state import State


@pytest.mark.parametrize(
    "state",
    [
        State(),
        State(sort="question", down=True),
        State(where="sample = 1"),
        State(q="dogs", sort="answer"),
        State(equal=(("source", "town"),)),
        State(where="sample = 7"),
    ],
)
@pytest.mark.parametrize("held", [5, 12, 1_000])
def test_pages_are_the_same_however_much_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State, held: int
) -> None:
    dataset = fill(tmp_path).open("samples")
    whole = [(p.id, p.sample, p.row) for p in Rows(dataset).places(state, 1_000, 0)]
    monkeypatch.setattr(rows, "HELD", held)
    found = Rows(dataset)
    for _ in range(2):  # asked again, it answers from what it remembers
        assert found.count(state) == len(whole)
        for offset in (0, 12, 24, 55, 60, 90):
            places = found.places(state, 12, offset)
            assert [(p.id, p.sample, p.row) for p in places] == whole[offset : offset + 12]


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    found = Rows(fill(tmp_path).open("samples"))
    for n in range(3 * rows.QUERIES):
        assert found.count(State(where=f"answer = '{n}'")) == 2
        assert len(found._held) <= rows.QUERIES


def test_a_query_that_takes_too_long_or_too_much_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Rows(fill(tmp_path).open("samples"))
    monkeypatch.setattr(rows, "SECONDS", 0.2)
    endless = (
        "(select sum(a.range * b.range + id.length()) from range(1000000) a, range(1000000) b) > 0"
    )
    with pytest.raises(UsageError, match="was stopped; narrow it down"):
        found.count(State(where=endless))
    monkeypatch.setattr(rows, "SECONDS", 30.0)
    large = "length((select string_agg(repeat('x', 1000), '') from range(1000000)) || id) > 0"
    with pytest.raises(UsageError, match="of memory; narrow it down"):
        found.count(State(where=large))
    assert found.count(State(where="sample = 1")) == 30


def test_values_of_a_large_version_are_counted_behind_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "COUNTED", 10)
    monkeypatch.setattr(pages, "LATER", 0.3)
    shown = Environment(loader=DictLoader({"grid.html": "{{ facets }} {{ cards | length }}"}))
    page = Pages(fill(tmp_path), shown, Token())
    assert page.grid("samples", {}) == "None 24"
    deadline = time.monotonic() + 30
    while page.grid("samples", {}) == "None 24" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "&#39;verdict&#39;" in page.grid("samples", {}) or "'verdict'" in page.grid(
        "samples", {}
    )


def test_files_that_are_gone_are_one_sentence(tmp_path: Path) -> None:
    dataset = fill(tmp_path).open("sft")
    found = Rows(dataset)
    places = found.places(State(), 3, 0)
    for file in dataset.files:
        file.unlink()
    for ask in (
        lambda: found.places(State(), 3, 0),
        lambda: found.count(State(q="x")),
        lambda: found.read(places, ["id"]),
        found.facets,
    ):
        with pytest.raises(UserError, match="sft@v1 cannot be read"):
            ask()
