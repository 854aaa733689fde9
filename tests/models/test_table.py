"""The table in the documentation matches the test suite."""

from __future__ import annotations

from tests.models.table import DOCS, placed


def test_the_table_stands_in_the_docs() -> None:
    assert placed(DOCS.read_text()) == DOCS.read_text()
