"""The agreement of many items at once is that of each by itself."""

from __future__ import annotations

import random

import pyarrow as pa

from vlt.filters.rules.agreement import VIEW, shares_of
from vlt.grade.agreement import agreement

ANSWERS = ("3", "3.0", " 3", "4", "", "  ", None, "12")


def test_shares_are_those_of_each_item() -> None:
    chance = random.Random(3)
    rows = []
    for item in range(300):
        several = chance.sample(ANSWERS, chance.randint(1, 3))  # one spelling, or some
        known = chance.choice([None, None, None, 0.25])
        for _ in range(chance.randint(1, 4)):
            rows.append(
                {
                    "id": f"item {item}",
                    "agreement": known,
                    "predicted": chance.choice(several),
                    "question": "How many?",
                    "choices": [],
                    "answer_type": "integer",
                }
            )
    chance.shuffle(rows)
    of_item: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        of_item.setdefault(str(row["id"]), []).append(row)
    expected = [
        row["agreement"] if row["agreement"] is not None else agreement(of_item[str(row["id"])])
        for row in rows
    ]
    assert shares_of(pa.Table.from_pylist(rows, VIEW)) == expected
    assert {None, 0.0, 0.25, 1.0} < set(expected)


def test_there_may_be_no_rows() -> None:
    assert shares_of(VIEW.empty_table()) == []
