"""The order in which rows are scanned for missing answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rows import dataset, item
from vlt.datagen.scan import Group, batches, row_groups, unanswered_first
from vlt.workspace.store import Store


def groups(count: int) -> list[Group]:
    return [Group(Path("x"), i, 10 * i, 10) for i in range(count)]


@pytest.mark.parametrize("answered", [0, 1, 2, 37, 98, 99, 100])
def test_the_answers_end_is_found_by_halves(answered: int) -> None:
    looked: list[int] = []

    def lacks(group: Group) -> bool:
        looked.append(group.index)
        return group.index >= answered

    order = unanswered_first(groups(100), lacks)
    assert sorted(group.index for group in order) == list(range(100))
    assert order[0].index == (answered if answered < 100 else 0)
    assert len(looked) <= 9


def test_every_group_is_looked_at_whatever_is_answered() -> None:
    order = unanswered_first(groups(50), lambda group: group.index % 3 == 1)
    assert sorted(group.index for group in order) == list(range(50))
    assert unanswered_first([], lambda _: True) == []


def test_rows_by_group(workspace: Path) -> None:
    rows = [item(f"question {i}") for i in range(2500)]
    made = dataset(Store(workspace), "items", "item", rows)
    for limit, expected in ((None, 2500), (1700, 1700), (1000, 1000), (1, 1)):
        found = row_groups(made, limit)
        assert sum(group.rows for group in found) == expected
        read = [
            (start + i, question)
            for start, batch in batches(found[::-1], ["question"])
            for i, question in enumerate(batch.column("question").to_pylist())
        ]
        assert sorted(read) == [(i, f"question {i}") for i in range(expected)]
