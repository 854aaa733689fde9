"""A job in several processes: order, buffers, errors, deaths, the user's functions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.pools import at_once
from tests.processes import alive, wait_for
from vlt.errors import UserError
from vlt.plugins import resolve, travels
from vlt.process_pool import AHEAD, ProcessPool


def square(n: int) -> tuple[int, int]:
    return n * n, os.getpid()


def arrays(n: int) -> tuple[pa.RecordBatch, np.ndarray[Any, Any], bytes]:
    text = pa.array([f"{n} " * 200] * 100)
    return pa.record_batch({"a": text, "b": pa.array([n] * 100)}), np.full(5_000, n), b"small"


class Own(Exception):
    """It can be neither rebuilt from its settings nor pickled."""

    def __init__(self, one: str, other: str):
        super().__init__(one)
        self.lock, self.other = threading.Lock(), other


class Fails:
    """It fails in the other processes, and is slow in this one."""

    def __init__(self, kind: type[Exception], *words: Any):
        self.kind, self.words, self.home = kind, words, os.getpid()

    def __call__(self, n: int) -> int:
        if os.getpid() != self.home:
            raise self.kind(*(w.format(n) if isinstance(w, str) else w for w in self.words))
        time.sleep(0.01)
        return n


class Dies:
    """Its process is killed on a chunk, once or always."""

    def __init__(self, mark: Path, always: bool):
        self.mark, self.always, self.home = mark, always, os.getpid()

    def __call__(self, n: int) -> int:
        if os.getpid() != self.home and (self.always or not self.mark.exists()):
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return n


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes start however little is left to do."""
    at_once(monkeypatch)


def mapped(
    job: Callable[[int], Any], folder: Path, pieces: int = 40, processes: int = 3
) -> list[Any]:
    with ProcessPool(job, folder, processes) as pool:
        return list(pool.map(range(pieces), pieces))


def test_in_order_whoever_did_it(tmp_path: Path) -> None:
    found = mapped(square, tmp_path, 200)
    assert [n for n, _ in found] == [n * n for n in range(200)]
    assert {pid for _, pid in found[:2]} == {os.getpid()}
    assert len({pid for _, pid in found}) > 1


def test_little_work_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlt.process_pool.WORTH", 4.0)
    assert {pid for _, pid in mapped(square, tmp_path, 200)} == {os.getpid()}
    assert not list(tmp_path.iterdir())


def test_one_process_is_this_one(tmp_path: Path) -> None:
    assert {pid for _, pid in mapped(square, tmp_path, 20, processes=1)} == {os.getpid()}


def test_buffers_come_as_they_were_and_leave_no_file(tmp_path: Path) -> None:
    for n, found in enumerate(mapped(arrays, tmp_path, 20)):
        batch, numbers, small = arrays(n)
        assert found[0].equals(batch)
        assert (found[1] == numbers).all()
        assert found[2] == small
    assert [file.name for file in tmp_path.iterdir()] == ["job.pickle"]


def test_little_is_done_ahead_of_who_takes_it(tmp_path: Path) -> None:
    """The queue, and so the memory, is bounded by the number of processes, not of chunks."""
    given: list[int] = []

    def pieces() -> Iterator[int]:
        for n in range(60):
            given.append(n)
            yield n

    with ProcessPool(arrays, tmp_path, 3) as pool:
        for taken, _ in enumerate(pool.map(pieces(), 60)):
            assert len(given) <= taken + 1 + 2 * 2 + AHEAD
            time.sleep(0.01)
            assert len(list(tmp_path.glob("answer-*"))) <= 2 * 2 + AHEAD


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Fails(UserError, "item {} is odd; leave it out", 3), "item {} is odd; leave it out"),
        (Fails(ValueError, "the {}th"), "the {}th"),
        (Fails(Own, "number {}", "other"), "Own: number {}"),
    ],
)
def test_an_error_is_raised_in_its_place(job: Fails, said: str, tmp_path: Path) -> None:
    seen = []
    with ProcessPool(job, tmp_path, 3) as pool, pytest.raises(Exception) as raised:  # noqa: PT011
        for n in pool.map(range(40), 40):
            seen.append(n)
    assert seen == list(range(len(seen))) and 2 <= len(seen) < 40
    assert str(raised.value) and said.format(len(seen)).endswith(str(raised.value))
    (note,) = raised.value.__notes__
    assert "of the pool:\n" in note and "in __call__" in note  # where in the worker
    if job.kind is UserError:
        assert isinstance(raised.value, UserError)
        assert raised.value.exit_code == 3


def test_a_process_that_died_is_replaced(tmp_path: Path) -> None:
    assert mapped(Dies(tmp_path / "mark", always=False), tmp_path) == list(range(40))


def test_one_that_always_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"died twice on the same rows \(exit status -9;"):
        mapped(Dies(tmp_path / "mark", always=True), tmp_path)


def test_who_takes_no_more_leaves_nobody_working(tmp_path: Path) -> None:
    with ProcessPool(square, tmp_path, 3) as pool:
        results = pool.map(range(1_000), 1_000)
        pids = {next(results)[1] for _ in range(100)} - {os.getpid()}
    assert pids
    assert not any(map(alive, pids))


MINE = """
import vlt

SEEN = []

@vlt.filter
def short(row):
    return len(row["response"]) < 3 or "long"

class Longer:
    def __init__(self, than): self.than = than
    def __call__(self, n): return n > self.than
"""


def test_functions_of_a_file_travel_and_others_do_not(tmp_path: Path) -> None:
    import pickle

    file = tmp_path / "mine.py"
    file.write_text(MINE)
    short = resolve(f"{file}:short", "filter")
    packed = travels({"filter": short.object, "of": resolve(f"{file}:Longer", "x").object(3)})
    assert packed is not None
    there = pickle.loads(packed)
    assert there["of"](4)
    assert there["filter"]({"response": "four"}) == "long"
    assert travels(lambda row: row) is None
    file.write_text(MINE + "\n# changed")
    assert travels(short.object) is None, "what was loaded is not there any more"
    with pytest.raises(UserError, match="was changed while its functions were in use, or differs"):
        pickle.loads(packed)


def test_a_function_of_a_script_stays_in_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, vlt.process_pool as pool\n"
        "pool.WORTH = 1e-9\n"
        "def job(n): return os.getpid()\n"
        f"with pool.ProcessPool(job, pathlib.Path({str(tmp_path)!r}), 3) as p:\n"
        "    assert set(p.map(range(50), 50)) == {os.getpid()}\n"
    )
    subprocess.run([sys.executable, script], check=True, timeout=60)


ENDLESS = """
import os, pathlib, sys, time
import vlt.process_pool as pool
from tests.pools import at_once
from tests.test_process_pool import Endless
at_once()
folder = pathlib.Path(sys.argv[1])
with pool.ProcessPool(Endless(folder), folder, 3) as p:
    list(p.map(range(100), 100))
"""


class Endless:
    """In another process it never comes back."""

    def __init__(self, folder: Path):
        self.folder, self.home = folder, os.getpid()

    def __call__(self, n: int) -> int:
        if os.getpid() != self.home:
            (self.folder / f"pid-{os.getpid()}").touch()
            while True:
                time.sleep(0.01)
        return n


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_however_the_parent_dies_nobody_is_left(how: signal.Signals, tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", ENDLESS, tmp_path], stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
    parent.send_signal(how)
    parent.wait(30)
    pids = [int(file.name.removeprefix("pid-")) for file in tmp_path.glob("pid-*")]
    wait_for(lambda: not any(map(alive, pids)), 30)
