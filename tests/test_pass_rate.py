"""One pass rate: the filter `difficulty`, GRPO's band and its items say the same of the same samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.rows import dataset, item, sample
from vlt.errors import UsageError
from vlt.filters.apply import make_filtered
from vlt.filters.pass_rate import Band, pass_rates
from vlt.train.methods.grpo import band, items_of_samples
from vlt.workspace.store import Dataset, Store


def drawn(store: Store, n: int = 5) -> Dataset:
    """One item for each number of correct samples among n, which is its question."""
    rows = [
        sample(f"<think>a</think><answer>{2 if i < right else 3}</answer>", i, item(str(right)))
        for right in range(n + 1)
        for i in range(n)
    ]
    return dataset(store, "drawn", "sample", rows)


def made(store: Store, data: Dataset, *chain: Any) -> Dataset:
    return make_filtered(store, data, chain=chain)[0]


def questions(table: pa.Table) -> set[str]:
    return set(table["question"].to_pylist())


@pytest.mark.parametrize("n", [3, 5, 7, 10])
@pytest.mark.parametrize("ends", [(0.2, 0.8), (0.1, 0.9), (0.3, 0.7), (0.6, 0.6), (0.0, 1.0)])
def test_filter_and_band_keep_the_same_items(
    workspace: Path, n: int, ends: tuple[float, float]
) -> None:
    store = Store(workspace)
    data = drawn(store, n)
    filtered = made(store, data, "grade", {"difficulty": f"{ends[0]}:{ends[1]}"})
    graded = made(store, data, "grade")
    exact = {str(right) for right in range(n + 1) if ends[0] * n - 1e-9 <= right}
    exact -= {str(right) for right in range(n + 1) if right > ends[1] * n + 1e-9}
    assert questions(filtered.table()) == exact
    assert questions(band(items_of_samples(graded), *ends)) == exact


def test_four_of_five_lie_in_a_band_up_to_four_fifths(workspace: Path) -> None:
    store = Store(workspace)
    items = items_of_samples(made(store, drawn(store), "grade"))
    assert items["pass_rate"].type == pa.float32()
    assert questions(band(items, 0.2, 0.8)) == {"1", "2", "3", "4"}


@pytest.mark.parametrize("chain", [["verify"], ["grade", "correct"], ["grade"]])
def test_an_item_without_a_surviving_sample_is_still_an_item(
    workspace: Path, chain: list[str]
) -> None:
    store = Store(workspace)
    items = items_of_samples(made(store, drawn(store), *chain))
    rates = dict(zip(items["question"].to_pylist(), items["pass_rate"].to_pylist(), strict=True))
    assert rates == {str(right): pytest.approx(right / 5) for right in range(6)}


@pytest.mark.parametrize(
    "gone", ["finish_reason", {"max_words": 1}, {"select": "shortest"}, "repetition"]
)
def test_what_is_wrong_with_a_response_is_not_held_against_its_item(
    workspace: Path, gone: Any
) -> None:
    store = Store(workspace)
    say = "<think>a long thought</think><answer>2</answer>"
    rows = [sample(say, i, item("a"), finish_reason="length") for i in range(2)]
    rows += [sample(say, 0, item("b"), finish_reason="length")]
    graded = made(store, dataset(store, "raw", "sample", rows), "grade", gone)
    assert questions(items_of_samples(graded)) == {"a", "b"}


@pytest.mark.parametrize(
    "gone",
    [
        "dedup",
        "near_dedup",
        {"decontaminate": {"against": "bench", "images": "same", "ngram": 2}},
        {"mixture": {"test": 1}},
        {"difficulty": "0.9:1"},
    ],
)
def test_an_item_that_was_taken_out_itself_stays_out(workspace: Path, gone: Any) -> None:
    store = Store(workspace)
    one, two = item("How many red bars are there?"), item("how many  red bars are there?")
    if gone != "dedup" and gone != "near_dedup":
        two = item("What is x?", images=["b"])
    rows = [sample(f"<answer>{2 + n}</answer>", 0, of) for n, of in enumerate((two, one))]
    data = dataset(store, "raw", "sample", rows)
    dataset(store, "bench", "item", [item("How many red bars are there?")])
    graded = made(store, data, "grade", gone)
    assert len(questions(items_of_samples(graded))) == 1
    assert questions(items_of_samples(graded)) == questions(graded.table())


def test_unjudged_samples_do_not_count_and_cut_ones_do(workspace: Path) -> None:
    store = Store(workspace)
    verdicts = {"a": ["correct", "unjudged"], "b": ["unjudged"], "c": [None]}
    rows = [
        sample("x", n, item(question), verdict=verdict, finish_reason="stop")
        for question, each in verdicts.items()
        for n, verdict in enumerate(each)
    ]
    rows.append(sample("x", 1, item("a"), finish_reason="length") | {"sample": 2})
    data = dataset(store, "raw", "sample", rows)
    rates = pass_rates(data).to_pylist()
    assert rates == [{"id": item("a")["id"], "n": 2, "correct": 1, "pass_rate": 0.5}]
    items = items_of_samples(data)
    found = dict(zip(items["question"].to_pylist(), items["pass_rate"].to_pylist(), strict=True))
    assert found == {"a": 0.5, "b": None, "c": None}
    assert questions(band(items, 0.0, 1.0)) == {"a"}
    assert questions(band(items, None, None)) == {"a", "b", "c"}
    kept = made(store, data, {"difficulty": "0:1"})
    assert questions(kept.table()) == {"a"}
    assert kept.manifest.dropped == {"difficulty": {"no graded sample": 2}}


@pytest.mark.parametrize("text", ["0.8:0.2", "0.2", "a:b", "-1:1", "0:2", "0:1:1", "nan:1"])
def test_what_is_no_band_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is not a band of pass rates; write LOW:HIGH"):
        Band.parse(text)
