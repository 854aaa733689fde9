"""Dry runs, prices, budgets and rate limits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cli import run_vlt, vlt, vlt_error, vlt_json
from tests.rows import dataset, item
from tests.stub import Stub
from vlt.engine.budget import Price, price_of
from vlt.errors import UserError
from vlt.workspace.journal import Journal
from vlt.workspace.store import Store

ROWS = 40
PRICES = "stub: {prompt: 10.0, completion: 100.0}\n"
EACH = (300 * 10 + 60 * 100) / 1e6  # dollars a request, by the stub's usage


@pytest.fixture
def store(workspace: Path) -> Store:
    store = Store(workspace)
    dataset(store, "items", "item", [item(f"[[{i}]]") for i in range(ROWS)])
    return store


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    file = tmp_path / "prices.yaml"
    file.write_text(PRICES)
    return file


def rollouts(store: Store, stub: Stub, *options: object) -> list[object]:
    base = ["gen", "rollouts", "-w", store.root, "--model", "stub", "--base-url", stub.url]
    return [*base, "-k", 1, *options]


def test_a_dry_run_counts_and_asks_nothing(store: Store, stub: Stub) -> None:
    vlt(*rollouts(store, stub, "--limit", 10))
    stub.reset()
    found = vlt_json(*rollouts(store, stub, "-k", 4, "--dry-run"))
    assert found["samples"] == 4 * ROWS
    assert found["in_journal"] == 10
    assert found["new_samples"] == 4 * ROWS - 10
    assert found["new_requests"] == ROWS
    assert found["expected"] is None
    assert stub.stats()["requests"] == 0
    assert [d.ref for d in store.versions("samples")] == ["samples@v1"]


def test_a_probe_tells_what_the_rest_costs(store: Store, stub: Stub, prices: Path) -> None:
    found = vlt_json(*rollouts(store, stub, "--dry-run", "--probe", 10, "--prices", prices))
    assert stub.stats()["requests"] == found["probed"] == 10
    expected = found["expected"]
    assert expected["prompt_tokens"] == 30 * 300
    assert expected["completion_tokens"] == 30 * 60
    assert expected["money"] == pytest.approx(30 * EACH)
    words = vlt(*rollouts(store, stub, "--dry-run", "--probe", 5, "--prices", prices))
    assert "expected: 7,500 prompt and 1,500 completion tokens, $0.23" in words
    vlt(*rollouts(store, stub))
    assert stub.stats()["requests"] == ROWS  # the probe's answers are not asked for again


def test_a_dry_run_with_nothing_to_ask(store: Store, stub: Stub) -> None:
    vlt(*rollouts(store, stub, "--as", "one"))
    found = vlt_json(*rollouts(store, stub, "--as", "two", "--dry-run"))
    assert found["new_samples"] == 0
    assert not store.versions("two")


def test_a_budget_is_not_passed(store: Store, stub: Stub, prices: Path) -> None:
    budget = 10.5 * EACH + 0.05
    options = ["--prices", prices, "--budget", budget, "--max-tokens", 100]
    words = vlt_error(*rollouts(store, stub, *options))
    assert "is used up" in words
    assert "a larger budget to continue" in words
    asked = stub.stats()["requests"]
    assert asked * EACH <= budget
    assert asked >= 10
    journal = Journal(store.journal_file)
    assert journal.count() == asked
    journal.close()
    done = run_vlt(*rollouts(store, stub, "--prices", prices, "--budget", 100))
    assert done.returncode == 0
    assert stub.stats()["requests"] == asked + ROWS  # max_tokens is part of what is asked
    assert "completion tokens, $" in done.stderr
    assert store.open("samples").manifest.money == pytest.approx(ROWS * EACH)


def test_a_budget_needs_a_price(store: Store, stub: Stub, tmp_path: Path) -> None:
    assert "needs the price of 'stub'" in vlt_error(*rollouts(store, stub, "--budget", 1), code=2)
    bad = tmp_path / "bad.yaml"
    bad.write_text("gpt: cheap\n")
    assert "is not a price list" in vlt_error(*rollouts(store, stub, "--prices", bad))


def test_prices_are_found_by_pattern(tmp_path: Path) -> None:
    assert price_of("gpt-4o-mini-2024-07-18") == Price(0.15, 0.6)
    assert price_of("gpt-4o") == Price(2.5, 10.0)
    assert price_of("my-own") is None
    with pytest.raises(UserError):
        price_of("x", tmp_path / "none.yaml")


def test_requests_a_minute(store: Store, stub: Stub) -> None:
    started = time.time()
    vlt(*rollouts(store, stub, "--rpm", 1200, "--concurrency", 16))
    stats = stub.stats()
    assert stats["requests"] == ROWS
    assert 0.8 * (ROWS - 1) / 20 <= stats["last"] - stats["first"] <= time.time() - started


def test_tokens_a_minute(store: Store, stub: Stub) -> None:
    stub.configure(latency_ms=10)
    vlt(*rollouts(store, stub, "--tpm", 360 * 60 * 20, "--concurrency", 4))
    stats = stub.stats()
    assert stats["last"] - stats["first"] >= 0.7 * ROWS / 20


def test_a_probe_goes_with_a_dry_run(store: Store, stub: Stub) -> None:
    assert "needs --dry-run" in vlt_error(*rollouts(store, stub, "--probe", 3), code=2)
