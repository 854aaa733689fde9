"""Items of several datasets together, whole or a part that the seed and the ids decide."""

from __future__ import annotations

from pathlib import Path

from tests.rows import dataset, item
from vlt.datagen.mix import make_mix
from vlt.workspace.store import Store


def questions(n: int, start: int = 0) -> list[dict[str, object]]:
    return [item(f"question {i}") for i in range(start, start + n)]


def test_an_item_in_both_comes_once(workspace: Path) -> None:
    store = Store(workspace)
    a = dataset(store, "a", "item", questions(5))
    b = dataset(store, "b", "item", questions(5, start=3))
    mixed, existed = make_mix(store, [a, b])
    assert not existed
    assert mixed.table(["question"])["question"].to_pylist() == [f"question {i}" for i in range(8)]
    assert make_mix(store, [a, b]) == (mixed, True)


def test_a_sample_does_not_hang_on_the_order_and_grows(workspace: Path) -> None:
    store = Store(workspace)
    rows = questions(50)
    a = dataset(store, "a", "item", rows)
    b = dataset(store, "b", "item", rows[::-1])

    def drawn(parent: object, n: int, seed: int = 1) -> set[str]:
        made, _ = make_mix(store, [parent], sample=n, seed=seed, name=f"s{n}")
        assert made.manifest.rows == n
        assert made.manifest.dropped == {"sample": {"not drawn": 50 - n}}
        return set(made.table(["id"])["id"].to_pylist())

    assert drawn(a, 10) == drawn(b, 10) < drawn(a, 20)
    assert drawn(a, 10, seed=2) != drawn(a, 10)
