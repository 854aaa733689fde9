"""Two models on the same items: what one solves and the other does not, and whether that is significant.

The items are the same, so the test is paired. With one sample per item it is McNemar's exact test
(1947): of the items that only one of the two solves, how likely a split this uneven is with a fair
coin. With several samples it is the exact sign test over items with different pass rates. The
interval of the difference is a paired bootstrap over items, with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import comb
from typing import Any

import numpy as np

from vlt.errors import UserError
from vlt.workspace.store import Dataset, Store

RESAMPLES = 10_000


@dataclass(frozen=True)
class Comparison:
    """The second model against the first, on the same items."""

    first: float
    second: float
    """Accuracies."""
    difference: float
    """Second minus first."""
    low: float
    high: float
    """95 % interval of the difference."""
    solved: int
    """Items on which the second does better; with one sample each: newly solved."""
    lost: int
    """Items on which it does worse; with one sample each: newly lost."""
    n: int
    p: float
    """Two-sided p-value: how likely a split of solved and lost this uneven is by chance."""
    test: str


def exact_sign_test(more: int, fewer: int) -> float:
    """Two-sided p-value of `more` heads and `fewer` tails with a fair coin; 1.0 if there are none."""
    n = more + fewer
    tail = sum(comb(n, i) for i in range(min(more, fewer) + 1))
    return min(1.0, 2 * tail / 2**n)


def compared(first: Mapping[str, float], second: Mapping[str, float], k: int = 1) -> Comparison:
    """`first` and `second` are pass rates by item id, of the same items."""
    assert first.keys() == second.keys(), "pass rates of the same items"
    ids = sorted(first)
    a = np.array([first[id] for id in ids], float)
    b = np.array([second[id] for id in ids], float)
    apart = b - a
    solved, lost = int((apart > 0).sum()), int((apart < 0).sum())
    low, high = bootstrap(apart)
    return Comparison(
        first=float(a.mean()) if ids else 0.0,
        second=float(b.mean()) if ids else 0.0,
        difference=float(apart.mean()) if ids else 0.0,
        low=low,
        high=high,
        solved=solved,
        lost=lost,
        n=len(ids),
        p=exact_sign_test(solved, lost),
        test="McNemar, exact" if k == 1 else "sign test over items, exact",
    )


def bootstrap(apart: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of [n] values, by a bootstrap with a fixed seed; 0, 0 without any."""
    if not len(apart):
        return 0.0, 0.0
    # Only the number of items with each difference matters: counts are drawn, not items.
    values, counts = np.unique(apart, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(apart), counts / len(apart), size=RESAMPLES)
    means = drawn @ values / len(apart)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def compare(store: Store, first: Dataset, second: Dataset) -> dict[str, Any]:
    """The comparison of two evaluations, as JSON.

    Raises UserError if items, prompts, sampling or graders differ.
    """
    one, other = asked(store, first), asked(store, second)
    for name in {**one, **other}:
        if one.get(name) != other.get(name):
            raise UserError(
                f"{first.ref} and {second.ref} cannot be compared: their {name} differ "
                f"({_short(one.get(name))} and {_short(other.get(name))}); evaluate both in one command"
            )
    rates = [pass_rates(first), pass_rates(second)]
    if rates[0].keys() != rates[1].keys():
        raise UserError(
            f"{first.ref} and {second.ref} have verdicts on different items; evaluate both in one "
            "command"
        )
    return asdict(compared(rates[0], rates[1], int(one["k"])))


def pass_rates(evaluation: Dataset) -> dict[str, float]:
    """Share of correct samples of each item; failed ones count as not correct."""
    counts: dict[str, list[int]] = {}
    for table in (evaluation.table(["id", "verdict"]), evaluation.dropped.table(["id", "verdict"])):
        columns = (table.column(name).to_pylist() for name in ("id", "verdict"))
        for id, verdict in zip(*columns, strict=True):
            count = counts.setdefault(id, [0, 0])
            count[0] += verdict == "correct"
            count[1] += 1
    return {id: right / n for id, (right, n) in counts.items()}


def asked(store: Store, evaluation: Dataset, *, model: bool = False) -> dict[str, Any]:
    """Everything that must be the same for two evaluations to be compared, by its name in messages.

    model: Whether the model must be the same too.
    """
    manifest = evaluation.manifest
    answers = store.open(manifest.parents[0].ref).manifest
    found = {name: value for name, value in answers.parameters.items() if model or name != "model"}
    items = answers.parents[0].digest if answers.parents else None
    grader = {name: value for name, value in manifest.parameters.items() if name != "images"}
    return {"items": items, "grader": grader, **found}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"
