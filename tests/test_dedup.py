"""Duplicates, exact and near: what is one, what is not, and which stays."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.corpus import free_text, score, template_text
from filters.clusters import components, near_clusters
from filters.database import Scratch
from filters.dedup_file import dedup_file
from filters.hashing import word_blocks
from filters.make import make_filtered
from filters.near import common_grams, sketched
from tests.rows import dataset, item, sample
from vlt.errors import UsageError, UserError
from vlt.store import Dataset, Store


@pytest.fixture
def store(workspace: Path) -> Store:
    """An empty workspace."""
    return Store(workspace)


def deduped(
    store: Store, rows: Sequence[dict[str, Any]], *chain: Any, kind: str = "item"
) -> Dataset:
    """What the chain leaves of the rows."""
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
    reasons = left.dropped()["reason"].to_pylist()
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


def scratch(folder: Path) -> Scratch:
    """Room for DuckDB."""
    return Scratch(folder, "500MB")


def test_near_dedup_of_a_file_finds_what_was_planted(tmp_path: Path) -> None:
    free_text(6_000, tmp_path, np.random.default_rng(1))
    done = dedup_file(
        tmp_path / "corpus.parquet",
        tmp_path / "kept.parquet",
        ["text"],
        scratch(tmp_path),
        near=True,
        dropped=tmp_path / "dropped.parquet",
    )
    found = score(tmp_path / "kept.parquet", tmp_path)
    assert found["recall exact"] == 1
    assert found["recall >= 0.8"] >= 0.97
    assert found["precision"] >= 0.999
    kept = pq.read_table(tmp_path / "kept.parquet")
    assert kept.schema.names == ["id", "question", "trace", "text"]
    dropped = pq.read_table(tmp_path / "dropped.parquet")
    assert done.kept == kept.num_rows == 6_000 - dropped.num_rows
    assert set(dropped["kept"].to_pylist()) <= set(kept["id"].to_pylist())


def test_templates_do_not_make_distinct_rows_alike(tmp_path: Path) -> None:
    template_text(20_000, tmp_path, np.random.default_rng(1))
    file, kept = tmp_path / "corpus.parquet", tmp_path / "kept.parquet"
    dedup_file(file, kept, ["text"], scratch(tmp_path), near=True)
    found = score(kept, tmp_path)
    assert found["precision"] >= 0.999
    assert found["recall"] >= 0.97


def test_exact_dedup_of_a_file(tmp_path: Path) -> None:
    texts = ["one two", "One two ", None, "three", None, "one  two", "", "THREE"]
    pq.write_table(pa.table({"id": list("abcdefgh"), "t": texts}), tmp_path / "in.parquet")
    for keep, ids in (("first", "acdefg"), ("shortest", "acdefg")):
        done = dedup_file(
            tmp_path / "in.parquet",
            tmp_path / "out.parquet",
            ["t"],
            scratch(tmp_path),
            keep=keep,
            columns=["id"],
        )
        kept = pq.read_table(tmp_path / "out.parquet")
        assert kept.to_pydict() == {"id": list(ids)}
    assert (done.rows, done.kept, done.clusters) == (8, 6, 2)


def test_the_shortest_text_of_a_cluster_stays(tmp_path: Path) -> None:
    base = " ".join(f"word{i}" for i in range(60))
    texts = [base + " and so on", base, "something else entirely"]
    pq.write_table(pa.table({"id": [1, 2, 3], "t": texts}), tmp_path / "in.parquet")
    out = tmp_path / "out.parquet"
    dedup_file(tmp_path / "in.parquet", out, ["t"], scratch(tmp_path), near=True, keep="shortest")
    assert pq.read_table(out)["id"].to_pylist() == [2, 3]


def test_an_empty_file_and_one_without_rows_to_drop(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"id": pa.array([], pa.int64()), "t": pa.array([], pa.string())}),
        tmp_path / "in.parquet",
    )
    for near in (False, True):
        out = tmp_path / "out.parquet"
        done = dedup_file(tmp_path / "in.parquet", out, ["t"], scratch(tmp_path), near=near)
        assert (done.rows, done.kept) == (0, 0)


def test_what_cannot_be_deduped_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    with pytest.raises(UserError, match="does not exist"):
        dedup_file(file, tmp_path / "o", ["t"], scratch(tmp_path))
    file.write_text("no parquet")
    with pytest.raises(UserError, match="is not a Parquet file"):
        dedup_file(file, tmp_path / "o", ["t"], scratch(tmp_path))
    pq.write_table(pa.table({"t": ["a"]}), file)
    with pytest.raises(UserError, match="has no column 'id'; it has t"):
        dedup_file(file, tmp_path / "o", ["t"], scratch(tmp_path))
    pq.write_table(pa.table({"id": [1], "t": ["a"]}), file)
    with pytest.raises(UserError, match="has no column 'text'"):
        dedup_file(file, tmp_path / "o", ["text"], scratch(tmp_path))
    with pytest.raises(UsageError, match="is the file itself"):
        dedup_file(file, file, ["t"], scratch(tmp_path))


def test_the_command_dedups_a_file_without_a_workspace(tmp_path: Path) -> None:
    file, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], "t": ["a b", "A b", "c"]}), file)
    command = [sys.executable, "-m", "vlt.cli.main", "dedup", str(file), "--on", "t"]
    command += ["--to", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)["kept"] == 2
    assert not (tmp_path / "workspace").exists()


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
