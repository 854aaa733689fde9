"""A worker process that answers over a pipe, and may be killed at any moment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlt.worker_process import WorkerGone, WorkerProcess

WORKER = """
import os, sys, time
from vlt.worker_process import serve

def prepare():
    print("an import that prints")
    assert "--no-start" not in sys.argv, "it cannot start"

def answer(question):
    print("words that must not come between the frames")
    if question == b"sleep":
        time.sleep(60)
    if question == b"die":
        os._exit(3)
    if question == b"environment":
        return os.environ["FROM_PARENT"].encode()
    return question[::-1]

serve(answer, prepare)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "worker_of_a_test.py").write_text(WORKER)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "worker_of_a_test"


@pytest.fixture
def worker(module: str) -> Iterator[WorkerProcess]:
    made = WorkerProcess(module, environment={"FROM_PARENT": "é"}, quiet=True)
    yield made
    made.kill()


def test_answers(worker: WorkerProcess) -> None:
    assert worker.ask(b"abc", 30) == b"cba"
    assert worker.ask(b"") == b""
    assert worker.ask(b"environment").decode() == "é"
    assert worker.asked == 3


def test_more_than_a_pipe_holds(worker: WorkerProcess) -> None:
    question = os.urandom(5 << 20)
    assert worker.ask(question, 30) == question[::-1]


def test_a_late_one_is_killed(worker: WorkerProcess) -> None:
    worker.ask(b"a")
    began = time.monotonic()
    with pytest.raises(WorkerGone):
        worker.ask(b"sleep", 0.2)
    assert time.monotonic() - began < 10
    assert worker.process.poll() is not None
    with pytest.raises(WorkerGone):
        worker.ask(b"again", 1)


def test_one_that_dies(worker: WorkerProcess) -> None:
    with pytest.raises(WorkerGone):
        worker.ask(b"die", 30)


def test_one_that_is_killed_while_nobody_asks(worker: WorkerProcess) -> None:
    worker.ask(b"a")
    os.kill(worker.process.pid, signal.SIGKILL)
    with pytest.raises(WorkerGone):
        worker.ask(b"a" * (3 << 20), 30)


def test_one_that_cannot_start(module: str) -> None:
    with pytest.raises(WorkerGone):
        WorkerProcess(module, "--no-start", quiet=True).ask(b"a", 30)
