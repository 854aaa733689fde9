"""Samples drawn again only of items not yet solved must not count in pass rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.rows import item, sample
from vlt.errors import UsageError
from vlt.filters.apply import make_filtered
from vlt.train.methods.grpo import items_of_samples
from vlt.workspace.lineage import fair_samples
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import SAMPLE
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer

SOLVED, HARD = item("easy"), item("hard")


def drawn(store: Store, **parameters: Any) -> Dataset:
    """k = 2: the easy item is right at once; the hard one was drawn on until a sample was right."""
    says = {0: "<answer>2</answer>", 1: "<answer>9</answer>"}
    rows = [sample(says[0], 0, SOLVED), sample(says[0], 1, SOLVED)]
    rows += [sample(says[1], n, HARD) for n in (0, 1, 2)] + [sample(says[0], 3, HARD)]
    table = pa.Table.from_pylist(rows, SAMPLE)
    with Writer(
        store, Stage("gen rollouts", {"k": 2, **parameters}), "samples", "sample"
    ) as writer:
        writer.expect(table)
        writer.keep(table)
    return writer.dataset


def rates(store: Store, samples: Dataset) -> dict[str, float]:
    verified, _ = make_filtered(store, samples, chain=["verify"])
    found = items_of_samples(verified, fair_samples(store, verified))
    return dict(zip(found["question"].to_pylist(), found["pass_rate"].to_pylist(), strict=True))


def test_only_the_samples_that_all_items_have_count(workspace: Path) -> None:
    plain, adaptive = Store(workspace / "plain"), Store(workspace / "adaptive")
    assert rates(plain, drawn(plain)) == {"easy": 1.0, "hard": 0.25}
    samples = drawn(adaptive, until_correct=1, max_samples=4)
    assert rates(adaptive, samples) == {"easy": 1.0, "hard": 0.0}


def test_the_filter_says_that_it_cannot(workspace: Path) -> None:
    store = Store(workspace)
    chain = ["grade", {"difficulty": "0.1:0.9"}, "correct"]
    kept, _ = make_filtered(store, drawn(store), chain=chain)
    assert kept.manifest.rows == 1
    with pytest.raises(UsageError, match="--until-correct"):
        make_filtered(store, drawn(store, until_correct=1, max_samples=4), chain=chain)
