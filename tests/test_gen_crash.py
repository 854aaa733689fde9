"""`vlt gen` killed, interrupted, run twice at once, on a full disk and against a bad server."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli import run_vlt, start_vlt, vlt_error
from tests.rows import dataset, item
from tests.stub import Stub
from vlt.workspace.journal import Journal
from vlt.workspace.store import Dataset, Store

CONCURRENCY = 16


def make_items(workspace: Path, rows: int) -> Store:
    store = Store(workspace)
    dataset(store, "items", "item", [item(f"[[{i}]]", images=[]) for i in range(rows)])
    return store


def command(workspace: Path, stub: Stub, *options: str) -> list[str]:
    settings = ["--model", "stub", "--base-url", stub.url, "--concurrency", str(CONCURRENCY)]
    return ["gen", "rollouts", "-w", str(workspace), "-k", "1", *settings, *options]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return start_vlt(*arguments, stdout=subprocess.DEVNULL)


def until_requests(stub: Stub, count: int, child: subprocess.Popen[str]) -> bool:
    """Wait until the stub has seen this many requests; False if the child has exited."""
    while stub.stats()["requests"] < count:
        if child.poll() is not None:
            return False
        time.sleep(0.002)
    return True


def check_whole(made: Dataset, rows: int) -> None:
    table = made.table()
    assert table.column("question").to_pylist() == [f"[[{i}]]" for i in range(rows)]
    assert made.manifest.rows_in == made.manifest.rows == rows
    assert not made.manifest.failed


@pytest.mark.parametrize("kills", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_at_random_moments(workspace: Path, kills: int) -> None:
    rows, chance = 120 * kills, random.Random(kills)
    store = make_items(workspace, rows)
    with Stub(latency_ms=20) as stub:
        for _ in range(kills):
            child = start(command(workspace, stub))
            more = chance.randint(1, 100)
            assert until_requests(stub, stub.stats()["requests"] + more, child)
            child.kill()
            child.communicate()
            time.sleep(0.05)
        done = run_vlt(*command(workspace, stub))
        assert done.returncode == 0, done.stderr
        attempts = stub.attempts()
        assert len(attempts) == rows
        assert sum(attempts.values()) - rows <= kills * CONCURRENCY
        stub.reset()
        assert run_vlt(*command(workspace, stub)).returncode == 0
        assert run_vlt(*command(workspace, stub, "--as", "again")).returncode == 0
        assert stub.stats()["requests"] == 0
    check_whole(store.open("samples"), rows)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(workspace: Path, number: signal.Signals) -> None:
    store = make_items(workspace, 400)
    with Stub(latency_ms=20) as stub:
        child = start(command(workspace, stub))
        assert until_requests(stub, 100, child)
        child.send_signal(number)
        _, words = child.communicate(timeout=10)
        assert child.returncode == 130
        assert (
            words.strip().splitlines()[-1].startswith("vlt: interrupted; the same command resumes")
        )
        assert "Traceback" not in words
        assert run_vlt(*command(workspace, stub)).returncode == 0
        assert stub.stats()["requests"] <= 400 + CONCURRENCY
    check_whole(store.open("samples"), 400)
    assert not list((workspace / "datasets" / "samples").glob(".building*"))


def test_two_runs_on_one_workspace(workspace: Path) -> None:
    store = make_items(workspace, 300)
    with Stub(latency_ms=150) as stub:
        first = start(command(workspace, stub, "--as", "one"))
        second = start(command(workspace, stub, "--as", "two"))
        assert until_requests(stub, 1, first)
        words = vlt_error(*command(workspace, stub, "--as", "one"))
        assert "is being written by another vlt" in words
        for child in (first, second):
            _, words = child.communicate(timeout=60)
            assert child.returncode == 0, words
    check_whole(store.open("one"), 300)
    # Where both asked the same, the answer that came first counts for both.
    assert store.open("one").manifest.digest == store.open("two").manifest.digest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no right to mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk(workspace: Path) -> None:
    rows = 400
    with small_disk(workspace, 2), Stub(out_words=1000) as stub:
        store = make_items(workspace, rows)
        words = vlt_error(*command(workspace, stub))
        assert "full" in words
        assert "run the same command again" in words
        journal = Journal(store.journal_file)
        arrived = journal.count()
        journal.close()
        assert 0 < arrived < rows
        subprocess.run(["mount", "-o", "remount,size=20m", workspace], check=True)
        assert run_vlt(*command(workspace, stub)).returncode == 0
        assert stub.stats()["requests"] <= rows + CONCURRENCY
        check_whole(store.open("samples"), rows)


def test_a_bad_server(workspace: Path) -> None:
    rows = 2000
    store = make_items(workspace, rows)
    faults = {"p429": 0.02, "p500": 0.02, "preset": 0.01, "ptruncated": 0.01, "pempty": 0.01}
    with Stub(**faults, phang=0.002) as stub:
        done = run_vlt(*command(workspace, stub, "--timeout", "2", "--concurrency", "64"))
        assert done.returncode == 0, done.stderr
        stats = stub.stats()
    injected = sum(count for outcome, count in stats["outcomes"].items() if outcome != "ok")
    assert injected > rows * 0.05
    assert stats["requests"] == rows + injected
    check_whole(store.open("samples"), rows)


def test_a_row_that_always_fails(workspace: Path) -> None:
    store = make_items(workspace, 50)
    with Stub(always={"7": 413}) as stub:
        done = run_vlt(*command(workspace, stub))
    assert done.returncode == 3
    assert "1 failed: HTTP 413" in done.stderr
    assert "--dropped" in done.stderr
    made = store.open("samples")
    assert made.manifest.rows == 49
    (aside,) = made.dropped.table().to_pylist()
    with Stub() as stub:
        assert run_vlt(*command(workspace, stub)).returncode == 3
        assert run_vlt(*command(workspace, stub, "--retry-failed")).returncode == 0
        assert stub.stats()["requests"] == 1
    check_whole(store.open("samples@v2"), 50)
    assert made.manifest.identity == store.open("samples@v2").manifest.identity
    assert (aside["question"], aside["reason"]) == ("[[7]]", "HTTP 413: this one never works")


def test_nothing_secret_is_written_down(workspace: Path) -> None:
    make_items(workspace, 5)
    with Stub(api_key="sk-very-secret") as stub:
        done = run_vlt(*command(workspace, stub), OPENAI_API_KEY="sk-very-secret")
        assert done.returncode == 0
        wrong = run_vlt(
            *command(workspace, stub, "--as", "x", "-k", "2"), OPENAI_API_KEY="sk-wrong"
        )
        assert wrong.returncode == 1
    assert "secret" not in done.stdout + done.stderr
    assert "sk-wrong" not in wrong.stdout + wrong.stderr
    for file in workspace.rglob("*"):
        if file.is_file():
            assert b"sk-very-secret" not in file.read_bytes(), file
    for manifest in workspace.rglob("manifest.json"):
        assert str(stub.port) not in manifest.read_text()


@pytest.mark.parametrize(
    ("settings", "options", "sentence"),
    [
        ({"api_key": "right"}, [], "rejects the key"),
        ({"only_model": True, "model": "other"}, [], "does not serve the model 'stub'"),
    ],
)
def test_one_sentence_at_once(
    workspace: Path, settings: dict[str, object], options: list[str], sentence: str
) -> None:
    make_items(workspace, 50)
    with Stub(**settings) as stub:
        assert sentence in vlt_error(*command(workspace, stub, *options))


def test_wrong_usage(workspace: Path) -> None:
    make_items(workspace, 5)
    base = ["gen", "rollouts", "-w", workspace, "--model", "m"]
    assert "give the --base-url" in vlt_error(*base, code=2)
    assert "is not a URL" in vlt_error(*base, "--base-url", "localhost:80", code=2)
    assert "'nope' is not one of" in vlt_error(*base, "--engine", "nope", code=2)
    assert "is not a file" in vlt_error(
        *base, "--base-url", "http://x/v1", "--prompt", "no", code=2
    )
    no_captions = ["gen", "reasoning", "-w", workspace, "--model", "m", "--base-url", "http://x/v1"]
    assert "no captions in workspace" in vlt_error(*no_captions)
