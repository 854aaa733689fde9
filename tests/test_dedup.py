"""Duplicates, exact and near: what is one, what is not, and which stays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.filters import Spilled
from tests.rows import dataset, item, sample
from vlt.errors import UsageError, UserError
from vlt.filters.apply import make_filtered
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.duplicates.clusters import components, near_clusters
from vlt.filters.duplicates.exact import kept_items
from vlt.filters.duplicates.file import dedup_file
from vlt.filters.duplicates.hashing import word_blocks
from vlt.filters.duplicates.minhash import common_grams, sketched
from vlt.workspace.store import Dataset, Store


@pytest.fixture
def store(workspace: Path) -> Store:
    """An empty workspace."""
    return Store(workspace)


def deduped(
    store: Store, rows: Sequence[dict[str, Any]], *chain: Any, kind: str = "item"
) -> Dataset:
    """What the chain keeps of the rows."""
    return make_filtered(store, dataset(store, "rows", kind, rows), chain=chain, name="left")[0]


def test_the_same_template_question_on_another_image_is_no_duplicate(store: Store) -> None:
    rows = [item("How many?", images=["a" * 64]), item("How many?", images=["b" * 64])]
    for chain in ("dedup", "near_dedup"):
        assert deduped(store, rows, chain).manifest.rows == 2


def test_case_space_and_typography_do_not_make_an_item(store: Store) -> None:
    rows = [
        item("How many  cats?", choices=["One", "two"], images=["a"]),
        item("HOW MANY cats?\n", choices=["one", "Two "], images=["a"], source="another"),
        item("Ｈow many cats?", choices=["one", "two"], images=["a"]),
        item("How many cats?", choices=["two", "one"], images=["a"]),
        item("How many cats?", choices=["one", "two"], images=["a", "b"]),
    ]
    left = deduped(store, rows, "dedup")
    assert left.table()["id"].to_pylist() == [rows[i]["id"] for i in (0, 3, 4)]
    reasons = left.dropped.table()["reason"].to_pylist()
    assert all(f"as {rows[0]['id']}, cluster " in reason for reason in reasons)
    assert left.manifest.dropped == {"dedup": {"same question, choices, images": 2}}


def test_samples_of_one_item_are_no_duplicates_and_go_together(store: Store) -> None:
    one, two = item("how many?"), item("How many?")
    rows = [sample(f"r{i}", i, of) for of in (one, two) for i in range(3)]
    left = deduped(store, rows, "dedup", kind="sample")
    assert set(left.table()["id"].to_pylist()) == {one["id"]}
    assert left.manifest.rows == 3


@pytest.mark.parametrize(("keep", "stays"), [("first", 0), ("shortest", 1), ("best", 2)])
def test_the_policy_says_which_stays(store: Store, keep: str, stays: int) -> None:
    items = [item("how many?"), item("How many?"), item("How  many?")]
    texts = ["a long response", "short", "middling one"]
    verdicts = ["wrong", "unjudged", "correct"]
    rows = [
        sample(text, 0, of, verdict=verdict)
        for of, text, verdict in zip(items, texts, verdicts, strict=True)
    ]
    for name in ("dedup", "near_dedup"):
        left = deduped(store, rows, {name: {"keep": keep}}, kind="sample")
        assert left.table()["id"].to_pylist() == [items[stays]["id"]]


def test_near_items_differ_in_wording_but_not_in_numbers_or_images(store: Store) -> None:
    question = (
        "Look at the table of all the fruit that was sold at the {} last week by the three stands "
        "near the bridge, and say which of the stands sold more than {} apples on the first day."
    )
    rows = [
        item(question.format("market", 30), images=["a"]),
        item("Please: " + question.format("market", 30).upper(), images=["a"]),
        item(question.format("market", 31), images=["a"]),
        item(question.format("market", 30) + " ", images=["b"]),
        item("", images=["a"]),
        item(" ", images=["a"]),
    ]
    left = deduped(store, rows, "near_dedup")
    kept = left.table()["id"].to_pylist()
    assert kept == [rows[i]["id"] for i in (0, 2, 3, 4, 5)]
    loose, _ = make_filtered(
        store,
        store.open("rows"),
        chain=[{"near_dedup": {"numbers": False, "threshold": 0.7}}],
        name="loose",
    )
    assert loose.manifest.rows == 4


SIDES = (
    "In the drawing of the three boats and the two bridges above, which one has the {} sail of all that "
    "can be seen between the left bridge and the right one, counted from the side of the river?"
)


@pytest.mark.parametrize(
    ("golds", "choices", "rows"),
    [
        (("3", "5"), (), 2),
        (("3", "3"), (), 1),
        (("3", "3.0"), (), 1),
        (("Three", "three "), (), 1),
        (("0.5", "0.50"), (), 1),
        (("0", "00.0"), (), 1),
        (("-3", "3"), (), 2),
        (("1e5", "100000"), (), 2),
        (("A", "B"), (("red", "blue"), ("red", "blue")), 2),
        (("A", "A"), (("red", "blue"), ("red", "blue")), 1),
        (("A", "A"), (("red", "blue"), ("blue", "red")), 2),
        (("A", "B"), (("red", "blue"), ("blue", "red")), 1),
        (("blue", "B"), (("red", "blue"), ("red", "blue")), 1),
        (("A", "B"), (), 2),
    ],
)
def test_near_items_with_other_golds_are_kept_apart(
    store: Store, golds: tuple[str, str], choices: tuple[tuple[str, ...], ...], rows: int
) -> None:
    asked = zip(("longest", "shortest"), golds, choices or ((), ()), strict=True)
    items = [
        item(SIDES.format(side), gold, choices=list(options), images=["a"])
        for side, gold, options in asked
    ]
    near = {"near_dedup": {"threshold": 0.5}}
    left = deduped(store, items, near)
    assert left.manifest.rows == rows
    samples = [sample("r", 0, of) for of in items]
    kept, _ = make_filtered(
        store, dataset(store, "samples", "sample", samples), chain=[near], name="apart"
    )
    assert kept.manifest.rows == rows
    loose = {"near_dedup": {"threshold": 0.5, "answers": False}}
    joined, _ = make_filtered(store, store.open("rows"), chain=[loose], name="joined")
    assert joined.manifest.rows == 1


@pytest.mark.parametrize("chain", [["dedup"], ["near_dedup"], [{"near_dedup": {"keep": "best"}}]])
def test_dedup_done_twice_takes_nothing_more(store: Store, chain: list[Any]) -> None:
    rng = np.random.default_rng(0)
    rows = [
        sample("x" * int(rng.integers(1, 9)), 0, item(f"What is number {rng.integers(20)} here?"))
        for _ in range(60)
    ]
    distinct = list({row["id"]: row for row in rows}.values())
    first = deduped(store, distinct, *chain, kind="sample")
    again, _ = make_filtered(store, first, chain=chain, name="again")
    assert again.table().equals(first.table())


def test_exact_dedup_spills_within_a_small_memory(store: Store) -> None:
    rows = [item(f"Question number {i % 5_000}?", source=str(i // 5_000)) for i in range(20_000)]
    samples = dataset(store, "rows", "item", rows)
    left, _ = make_filtered(store, samples, chain=["dedup"], name="left", memory="64MB")
    assert left.manifest.rows == 5_000


def test_what_does_not_fit_into_the_memory_allowed_is_spilled(tmp_path: Path) -> None:
    rows = 300_000
    key = np.random.default_rng(0).permutation(rows) % (rows - 1_000)
    ids = pa.array([f"{number:064x}" for number in range(rows)])
    halves = pa.array(key.astype(np.uint64))
    view = pa.table({"id": ids, "first": halves, "second": halves})
    tight = Scratch(tmp_path / "tight", "64MB", 1)
    with Spilled(tight.folder) as spilled:
        judged = kept_items(view, "first", "same", tight)
    assert spilled.most > 1 << 20
    wide = kept_items(view, "first", "same", Scratch(tmp_path / "wide", "1GB", 1))
    assert (judged.keep == wide.keep).all()
    assert int((~judged.keep).sum()) == 1_000
    with pytest.raises(UserError, match="too little for DuckDB to process 300,000 rows"):
        kept_items(view, "first", "same", Scratch(tmp_path / "none", "1MB", 1))
    with pytest.raises(UsageError, match="--memory 'much' is not a size"):
        kept_items(view, "first", "same", Scratch(tmp_path / "much", "much", 1))


@pytest.mark.parametrize("near", [False, True])
def test_columns_of_any_type_make_a_text(tmp_path: Path, near: bool) -> None:
    texts = ["x y", "X Y ", "x y", "x y"] if near else ["x É", "X é ", "x É", "x É"]
    columns = {
        "id": [1, 2, 3, 4],
        "number": [1, 1, 2, 1],
        "list": [["A", "b"], ["A", "b"], ["A", "b"], None],
        "large": pa.array(texts, pa.large_string()),
    }
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    out, on = tmp_path / "out.parquet", ["number", "list", "large"]
    dedup_file(tmp_path / "in.parquet", out, on, Scratch(tmp_path, "500MB"), near=near)
    assert pq.read_table(out)["id"].to_pylist() == [1, 3, 4]


def test_words_are_hashed_by_what_they_are() -> None:
    texts = ["Red, blue!", "red blue", "red  BLUE.", "blue red", "redblue", "", "3 < 5", "3 > 5"]
    (block,) = word_blocks(pa.array(texts))
    grams, offsets = block.grams(5)
    each = [grams[a:b].tolist() for a, b in itertools.pairwise(offsets)]
    assert each[0] == each[1] == each[2]
    assert each[5] == []
    assert len({tuple(gram) for gram in each}) == 6
    assert block.numbers[0] == 0
    assert block.numbers[6] == block.numbers[7] != 0


def test_texts_do_not_run_into_each_other() -> None:
    texts = ["abc", "def", "ab", "cdef", ""]
    (block,) = word_blocks(pa.array(texts))
    assert np.diff(block.offsets).tolist() == [1, 1, 1, 1, 0]
    (again,) = word_blocks(pa.array(["x y", *texts]).slice(1))
    assert again.words.tolist() == block.words.tolist()


def test_short_texts_are_compared_exactly() -> None:
    words = [f"w{i}" for i in range(24)]
    other = [*words[:20], "x1a", "x2a", "x3a", "x4a"]
    texts = pa.array([" ".join(words), " ".join(other)] * 2)
    sketches = sketched(texts, common_grams([]))
    # 20 grams each, 16 of them the same: 16 / 24.
    assert near_clusters(sketches, 0.66, numbers=False).tolist() == [0, 0, 0, 0]
    assert near_clusters(sketches, 0.67, numbers=False).tolist() == [0, 1, 0, 1]


def test_components_follow_chains() -> None:
    first, second = np.array([3, 1, 5, 0]), np.array([4, 2, 3, 6])
    assert components(first, second, 8).tolist() == [0, 1, 1, 3, 3, 3, 0, 7]
    line = np.arange(999)
    assert components(line[::-1], line[::-1] + 1, 1000).tolist() == [0] * 1000
