"""Rows by a condition in SQL: in a chain, from the command line, and errors if it does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import vlt_error, vlt_json
from tests.rows import dataset, item, sample
from vlt.errors import UsageError
from vlt.filters.apply import make_filtered
from vlt.workspace.store import Store


def filled(workspace: Path) -> Store:
    """Five samples of two sources; one has no token count."""
    store = Store(workspace)
    rows = [
        sample("x " * n, n, item("q", source="ab"[n % 2]), completion_tokens=n or None)
        for n in range(5)
    ]
    dataset(store, "samples", "sample", rows)
    return store


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("completion_tokens >= 2", [2, 3, 4]),
        ("completion_tokens < 100", [1, 2, 3, 4]),  # null is not met
        ("source = 'a' or response like 'x %x %x %'", [0, 2, 3, 4]),
        ("len(images) = 0", [0, 1, 2, 3, 4]),
        ("false", []),
    ],
)
def test_rows_that_meet_it_stay(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, condition: str, kept: list[int]
) -> None:
    store = filled(workspace)
    for batch in (5_000, 2):
        monkeypatch.setattr("vlt.filters.apply.BATCH", batch)
        made, _ = make_filtered(
            store, store.open("samples"), chain=[{"where": condition}], name=f"by{batch}"
        )
        assert made.table(["sample"])["sample"].to_pylist() == kept
        gone = {"where": {"does not meet the condition": 5 - len(kept)}} if len(kept) < 5 else {}
        assert made.manifest.dropped == gone


@pytest.mark.parametrize(
    "condition",
    ["nowhere = 1", "completion_tokens <", "count(*) > 1", "row_number() over () = 1", "1); drop"],
)
def test_what_is_no_condition_on_a_row_is_said(workspace: Path, condition: str) -> None:
    store = filled(workspace)
    with pytest.raises(UsageError, match="does not fit samples@v1") as raised:
        make_filtered(store, store.open("samples"), chain=[{"where": condition}])
    assert "\n" not in str(raised.value)


def test_as_it_is_typed(workspace: Path) -> None:
    filled(workspace)
    found = vlt_json("filter", "samples", "--where", "completion_tokens > 3", "-w", workspace)
    assert found["kept"] == 1
    said = vlt_error("filter", "samples", "--where", "tokens > 3", "-w", workspace, code=2)
    assert 'Referenced column "tokens" not found' in said
