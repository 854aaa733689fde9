"""The statistics of `vlt stats`."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.rows import dataset, item
from tests.test_filters import store, thought
from vlt.filters.apply import make_filtered
from vlt.filters.stats import dataset_stats, distribution
from vlt.report.plot import svg
from vlt.workspace.store import Store

__all__ = ["store"]


def graded(store: Store) -> None:
    """Two items of `a` (4 and 1 of 4 right), one of `b` (0 of 2), a duplicate of the first."""
    rows = []
    items = [item("one?", source="a"), item("two?", source="a"), item("three?", source="b")]
    for of, right, k in zip(items, (4, 1, 0), (4, 4, 2), strict=True):
        for i in range(k):
            text = "word " * (10 * (i + 1)) + ("Wait, no. Wait, yes." if i == 0 else "")
            rows.append(thought(text.strip(), "2" if i < right else "3", i, of=of))
    rows.append(thought("a b", of=item("One?", source="c"), finish_reason="length"))
    samples = dataset(store, "samples", "sample", rows)
    make_filtered(store, samples, chain=["verify"], name="graded", keep_cut=True)


def test_stats_of_graded_samples(store: Store) -> None:
    graded(store)
    found = dataset_stats(store.open("graded"))
    assert (found["rows"], found["items"], found["duplicate_items"]) == (6, 3, 1)
    by_source = {row["source"]: row for row in found["by_source"]}
    # pass@2 of 1 right in 4: 1 - C(3, 2) / C(4, 2) = 0.5, beside an item that is always solved.
    assert by_source["a"] == {
        "source": "a",
        "rows": 5,
        "pass@1": 0.625,
        "pass@2": 0.75,
        "pass@4": 1.0,
    }
    assert found["verdicts"] == {"correct": 6}
    assert found["finish_reasons"] == {"stop": 5, "length": 1}
    assert found["reflections"]["Wait,"] == 4
    assert found["reflections"]["share_of_responses"] == round(2 / 6, 4)


def test_stats_before_verification_have_no_pass_rates(store: Store) -> None:
    graded(store)
    found = dataset_stats(store.open("samples"))
    assert found["verdicts"] == {"none": 11}
    by_source = {row["source"]: row for row in found["by_source"]}
    assert by_source["b"] == {"source": "b", "rows": 2}
    # Nor where an answer was cut at its length, which alone would make a rate of 0.
    assert by_source["c"] == {"source": "c", "rows": 1}


def test_stats_of_items_and_of_nothing(store: Store) -> None:
    dataset(store, "items", "item", [item("a?", images=["x", "y"]), item("b?", images=["x"])])
    found = dataset_stats(store.open("items"))
    assert found["images"] == 2
    assert found["answer_types"] == {"integer": 2}
    assert "tokens" not in found
    dataset(store, "none", "sample", [])
    assert dataset_stats(store.open("none"))["reasoning_words"]["mean"] is None


def test_the_histogram_holds_every_row() -> None:
    values = np.concatenate([np.arange(500), [10_000]])
    found = distribution(values)
    assert sum(bin["rows"] for bin in found["histogram"]) == len(values)
    assert (found["p50"], found["max"]) == (250, 10_000)
    starts = [bin["from"] for bin in found["histogram"]]
    assert len({after - before for before, after in pairwise(starts)}) == 1
    assert len(starts) <= 20


@pytest.mark.parametrize("name", ["samples", "graded"])
def test_the_figure_is_well_formed(store: Store, name: str) -> None:
    graded(store)
    root = ElementTree.fromstring(svg(dataset_stats(store.open(name))))
    assert root.tag.endswith("svg")


def test_the_command(store: Store, tmp_path: Path) -> None:
    graded(store)
    command = [sys.executable, "-m", "vlt.cli.main", "stats", "graded", "-w", str(store.root)]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "pass@4" in plain
    assert "words of reasoning, p50" in plain
    figure = tmp_path / "figure.svg"
    with_figure = [*command, "--json", "--plot", str(figure)]
    found = json.loads(subprocess.run(with_figure, capture_output=True, check=True).stdout)
    assert found["rows"] == 6
    assert figure.read_text().startswith("<svg")
    bad = subprocess.run([*command, "--plot", "a.png"], capture_output=True, text=True)
    assert bad.returncode == 2
    assert "--plot a.svg" in bad.stderr
