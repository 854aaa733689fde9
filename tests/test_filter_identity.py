"""Identities of filter stages as an earlier release wrote them: its versions are found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.rows import dataset, item, sample
from vlt.filters.apply import make_filtered
from vlt.filters.protocol import settings
from vlt.filters.registry import parse_chain
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Store


@pytest.mark.parametrize(
    ("chain", "identity"),
    [
        (["verify"], "93c87d422475ed48"),
        (["grade", {"difficulty": "0.2:0.8"}, "correct"], "00ea8a0ec7446397"),
        ([{"verify": {"grader": "paper"}}, "truncate_reflections"], "cd4865bb45889fb8"),
        (
            [
                "finish_reason",
                {"max_words": 500},
                "repetition",
                {"leakage": "rewrite"},
                "format",
                "disagreement",
                "language",
            ],
            "9e28af7df07ba8ac",
        ),
        (
            [
                {"select": {"policy": "longest-but-one"}},
                {"select": {"policy": "distinct", "cap": 3}},
            ],
            "9d70d7622e9dd32f",
        ),
        ([{"mixture": {"clevr": 10}}], "f8daed779c0e7e17"),
        (["dedup", {"dedup": {"keep": "best"}}], "6a30b62584e7f2ef"),
        ([{"decontaminate": {"against": "a,b"}}], "7c53fdc7ae4a1c7f"),
        ([{"filter": "max_tokens", "tokens": 100, "model": "some/model"}], "739bf61fa32fa95c"),
        (["flagged"], "8a13c6b64b88b9fa"),
    ],
)
def test_a_chain_is_known_as_before(chain: list[Any], identity: str) -> None:
    """Identities of vlt 0.1.0, for a parent whose digest is 64 zeros."""
    stage = Stage("filter", {"chain": [settings(filter) for filter in parse_chain(chain)]})
    assert stage.identity(["0" * 64])[:16] == identity


@pytest.mark.parametrize(
    ("chain", "cut", "again"),
    [
        (["verify", {"select": "shortest"}], None, True),
        (["verify", {"select": "shortest"}], 1, True),  # it was wrong, and is gone before not_cut
        (["verify", {"select": "shortest"}], 0, False),
        (["grade", {"difficulty": "0.1:0.9"}, "correct"], None, True),
    ],
)
def test_a_version_from_before_not_cut_is_found_where_its_rows_are_the_same(
    workspace: Path, chain: list[Any], cut: int | None, again: bool
) -> None:
    store = Store(workspace)
    rows = [
        sample(
            f"<answer>{2 + n % 2}</answer>",
            n,
            item(),
            finish_reason="length" if n == cut else "stop",
        )
        for n in range(4)
    ]
    data = dataset(store, "samples", "sample", rows)
    old, _ = make_filtered(store, data, chain=chain, keep_cut=True)  # as vlt 0.1 made it
    found, existed = make_filtered(store, data, chain=chain)
    assert existed == again
    assert (found.ref == old.ref) == again
