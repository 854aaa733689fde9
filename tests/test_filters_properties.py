"""For any rows and chain: no row is lost, filtering is idempotent, order and batches do not matter."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rows import dataset, item, sample
from vlt.filters import apply as make
from vlt.filters.apply import make_filtered
from vlt.workspace.store import Dataset, Store

words = st.lists(
    st.sampled_from(
        ["So", "red", "blue", "12", "Wait,", "But wait", "the caption", "数", "é", "\n", "", "x=1"]
    ),
    max_size=30,
).map(" ".join)
texts = st.one_of(words, st.text(max_size=40), words.map(lambda text: f"{text} " * 12))
answers = st.sampled_from(["2", "3", "yes", "", " two ", "二"])


@st.composite
def responses(draw: st.DrawFn) -> dict[str, Any]:
    """A sample of one of a few items: with or without tags, answer, verdict, finish reason."""
    thought, answer = draw(texts), draw(answers)
    shape = draw(st.sampled_from(["<think>{}</think>\n<answer>{}</answer>", "{} {}", "<think>{}"]))
    response = shape.replace("{}", thought, 1).replace("{}", answer, 1)
    of = item(
        draw(st.sampled_from(["How many red bars?", "how many  RED bars?", "What is x?", "多少?"])),
        images=draw(st.sampled_from([[], ["a"], ["b"]])),
        source=draw(st.sampled_from(["one", "two"])),
    )
    fields = {
        "reasoning": draw(st.sampled_from([None, thought])),
        "finish_reason": draw(st.sampled_from(["stop", "length", None])),
        "verdict": draw(st.sampled_from(["correct", "wrong", "unjudged"])),
    }
    return sample(response, 0, of, **fields)


rows_of = st.lists(responses(), max_size=14)
ROW = [
    "finish_reason",
    {"max_words": 12},
    "repetition",
    {"repetition": {"share": 0.0, "ngram": 1, "times": 3}},
    "format",
    "language",
    "correct",
    "leakage",
    "disagreement",
]
STEADY = [
    *ROW,
    "verify",
    "grade",
    "truncate_reflections",
    {"truncate_reflections": ["So", "数"]},
    {"leakage": "rewrite"},
    {"select": "shortest"},
    {"select": "distinct"},
    {"select": {"policy": "first", "cap": 2}},
    "dedup",
    "near_dedup",
    {"dedup": {"keep": "shortest"}},
    {"mixture": {"one": 3}},
    "flagged",
    {"difficulty": "0.2:0.8"},
    {"near_dedup": {"keep": "best", "threshold": 0.6}},
    {"decontaminate": {"against": "bench", "images": "same", "ngram": 2}},
]
"""Filters that take nothing more when they run once more."""


def meant(chain: list[Any]) -> list[Any]:
    """With difficulty first: behind what takes out wrong samples it is refused."""
    return sorted(chain, key=lambda filter: "difficulty" not in filter)


quick = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


_folder: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the examples' workspaces lie; a fixture of a function would be shared by them all."""
    _folder[:] = [tmp_path_factory.mktemp("examples")]


def numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows with samples numbered, so that each has a key of its own."""
    return [{**row, "sample": number} for number, row in enumerate(rows)]


def run(rows: list[dict[str, Any]], chain: list[Any], **options: Any) -> Dataset:
    """The chain's outcome in a new workspace."""
    store = Store(Path(tempfile.mkdtemp(dir=_folder[0])) / "w")
    samples = dataset(store, "samples", "sample", numbered(rows))
    dataset(store, "bench", "item", [item("How many red bars are there?", images=["b"])])
    return make_filtered(store, samples, chain=chain, name="out", **options)[0]


def keys(table: Any) -> list[tuple[str, int]]:
    """(id, sample) of each row."""
    return list(zip(table["id"].to_pylist(), table["sample"].to_pylist(), strict=True))


@quick
@given(
    rows_of,
    st.lists(st.sampled_from([*STEADY, {"select": "longest-but-one"}]), max_size=5).map(meant),
)
def test_every_row_is_kept_or_dropped_once(rows: list[dict[str, Any]], chain: list[Any]) -> None:
    made = run(rows, chain)
    kept, gone = keys(made.table()), keys(made.dropped.table())
    assert sorted(kept + gone) == sorted(keys_of(rows))
    assert kept == [key for key in keys_of(rows) if key in set(kept)]
    counted = sum(sum(reasons.values()) for reasons in made.manifest.dropped.values())
    assert (made.manifest.rows, counted) == (len(kept), len(gone))
    by_source = made.manifest.facts["by_source"].values()
    assert sum(source.get("kept", 0) for source in by_source) == len(kept)


def keys_of(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """(id, sample) of each row as `run` numbers them."""
    return [(row["id"], row["sample"]) for row in numbered(rows)]


@quick
@given(rows_of, st.sampled_from(STEADY))
def test_a_filter_twice_is_the_filter_once(rows: list[dict[str, Any]], filter: Any) -> None:
    once, twice = run(rows, [filter]), run(rows, [filter, filter])
    assert twice.table().equals(once.table())


@quick
@given(rows_of, st.permutations(ROW))
def test_the_order_of_filters_that_only_drop_does_not_matter(
    rows: list[dict[str, Any]], order: list[Any]
) -> None:
    assert run(rows, order).table().equals(run(rows, ROW).table())


@quick
@given(rows_of, st.lists(st.sampled_from(STEADY), min_size=1, max_size=5).map(meant))
def test_batches_and_threads_do_not_matter(rows: list[dict[str, Any]], chain: list[Any]) -> None:
    whole = run(rows, chain, processes=1)
    with mock.patch.object(make, "BATCH", 3):
        parts = run(rows, chain, processes=4)
    assert parts.table().equals(whole.table())
    assert sorted(map(str, parts.dropped.table().to_pylist())) == sorted(
        map(str, whole.dropped.table().to_pylist())
    )


@pytest.mark.parametrize("filter", STEADY)
def test_no_rows_and_rows_of_nulls(filter: Any) -> None:
    empty = dict.fromkeys(sample("x"))
    rows = [{**empty, "id": "x" * 32, "choices": [], "images": []}]
    assert run([], [filter]).manifest.rows == 0
    if filter == "correct" or "select" in filter:
        return
    made = run(rows, [filter])
    assert made.manifest.rows_in == 1
