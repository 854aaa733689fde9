"""Two models on the same items: the exact test, the interval, and what can be compared."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.rows import dataset, item
from tests.scripted import Scripted, Through
from vlt.datagen.asking import Asking
from vlt.errors import UserError
from vlt.evaluation.compare import compare, compared, exact_sign_test
from vlt.evaluation.evaluate import make_evaluation
from vlt.prompts import Prompt
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace


@pytest.mark.parametrize("more", range(6))
@pytest.mark.parametrize("fewer", range(6))
def test_the_exact_test_counts_coins(more: int, fewer: int) -> None:
    """By trying every sequence of tosses: at least as uneven as what was seen."""
    n = more + fewer
    uneven = abs(more - fewer)
    tosses = [abs(2 * sum(toss) - n) >= uneven for toss in product((0, 1), repeat=n)]
    assert exact_sign_test(more, fewer) == pytest.approx(sum(tosses) / len(tosses))


def test_the_exact_test_as_others_compute_it() -> None:
    """scipy.stats.binomtest(k, n).pvalue, to its digits."""
    assert exact_sign_test(121, 59) == pytest.approx(4.434449263755176e-06)
    assert exact_sign_test(8, 2) == pytest.approx(0.109375)
    assert exact_sign_test(600, 400) < 1e-9


def test_pass_rates_against_pass_rates() -> None:
    ids = [str(i) for i in range(400)]
    first = dict.fromkeys(ids, 0.5)
    second = {id: (1.0 if i % 4 else 0.25) for i, id in enumerate(ids)}
    found = compared(first, second, k=4)
    assert (found.solved, found.lost, found.n) == (300, 100, 400)
    assert found.difference == pytest.approx(0.3125)
    # The normal interval of a mean of 400 differences of 0.5 and -0.25.
    half = 1.96 * (0.75 * 0.25 * 0.75**2 / 400) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.3125 - half, 0.3125 + half), abs=0.005)
    assert found.test.startswith("sign test")
    assert compared(first, first).p == 1.0


QUESTIONS = [item(str(i), "1") for i in range(8)]


def evaluation(
    store: Store, items: Dataset, right: set[int], grader: str = "vlt", **asked: Any
) -> Dataset:
    engine = Scripted(
        {f"ask {i}": (f"<answer>{int(i in right)}</answer>", "stop") for i in range(8)}
    )
    made, _ = make_evaluation(
        Workspace(store.root),
        items,
        Through(f"right on {sorted(right)}", opens=lambda: engine),
        Asking(**{"prompt": Prompt("ask {question}"), **asked}),
        grader=grader,
    )
    return made


def test_solved_and_lost(workspace: Path) -> None:
    store = Store(workspace)
    items = dataset(store, "items", "item", QUESTIONS)
    first = evaluation(store, items, {0, 1, 2})
    second = evaluation(store, items, {1, 2, 3, 4, 5, 6})
    found = compare(store, first, second)
    assert (found["solved"], found["lost"], found["n"]) == (4, 1, 8)
    assert found["difference"] == pytest.approx(3 / 8)
    assert found["p"] == pytest.approx(2 * (1 + 5) / 32)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"max_tokens": 7}, "sampling"),
        ({"grader": "paper"}, "grader"),
        ({"k": 2}, "k"),
        ({"limit": 5}, "limit"),
        ({"prompt": Prompt("ask {question}", system="Think.")}, "prompt"),
    ],
)
def test_only_what_was_asked_alike_is_compared(
    workspace: Path, changed: dict[str, Any], named: str
) -> None:
    store = Store(workspace)
    items = dataset(store, "items", "item", QUESTIONS)
    first = evaluation(store, items, {0})
    with pytest.raises(UserError, match=f"their {named} differ"):
        compare(store, first, evaluation(store, items, {1}, **changed))


def test_other_items_are_not_compared(workspace: Path) -> None:
    store = Store(workspace)
    first = evaluation(store, dataset(store, "items", "item", QUESTIONS), {0})
    second = evaluation(store, dataset(store, "others", "item", QUESTIONS[1:]), {1})
    with pytest.raises(UserError, match="their items differ"):
        compare(store, first, second)


def test_an_answer_that_failed_is_not_right_in_either(workspace: Path) -> None:
    store = Store(workspace)
    items = dataset(store, "items", "item", [*QUESTIONS, item("not in the script", "1")])
    found = compare(store, evaluation(store, items, {0}), evaluation(store, items, {0, 1}))
    assert (found["n"], found["solved"], found["lost"]) == (9, 1, 0)
