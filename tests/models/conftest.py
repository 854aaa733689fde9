"""Prints what each family passed as a table, when the tests have run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.table import STEPS, written

_FOUND: dict[tuple[str, str], str] = {}
"""(family, step) -> passed, failed or skipped."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect each test's result; with workers, in the process that started them."""
    name, _, family = report.nodeid.rpartition("::")[2].partition("[")
    step = name.removeprefix("test_")
    if step in STEPS and (report.when == "call" or report.outcome != "passed"):
        family = family.rstrip("]").partition("@")[0]
        if _FOUND.get((family, step)) != "failed":
            _FOUND[family, step] = report.outcome


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of docs/models.md, with what was found here."""
    if _FOUND:
        terminalreporter.section("families")
        for line in written(_FOUND):
            terminalreporter.write_line(line)
