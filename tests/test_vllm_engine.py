"""The vllm engine with a program that stands in for `vllm` and dies on demand."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import run_vlt, vlt_error
from tests.rows import dataset, item
from tests.test_gen_crash import check_whole, start
from vlt.engine.vllm import VLLMEngine
from vlt.engine.vllm_server import Serving
from vlt.errors import UserError
from vlt.request import Completion, Request, Sampling, request_key
from vlt.workspace.store import Store

FAKE = f"{sys.executable} {Path(__file__).with_name('fake_vllm.py')}"
SAMPLING = Sampling(max_tokens=64)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("FAKE_VLLM_STATE", str(folder))
    return folder


def requests(count: int) -> list[Request]:
    asked = [[{"role": "user", "content": f"[[{i}]]"}] for i in range(count)]
    return [Request(request_key({}, m, SAMPLING), m, (0,), SAMPLING) for m in asked]


def engine(tmp_path: Path, command: str = FAKE, revision: str | None = None) -> VLLMEngine:
    serving = Serving(
        "org/model",
        tmp_path / "vllm.log",
        command=command,
        arguments="--tensor-parallel-size 2",
        revision=revision,
    )
    return VLLMEngine(serving, load_image={}.__getitem__, concurrency=8)


def starts(state: Path) -> list[list[str]]:
    files = sorted(state.glob("start-*"), key=lambda f: int(f.name.partition("-")[2]))
    return [file.read_text().split() for file in files]


def gone(pid: str) -> bool:
    """Whether the process has exited (or is a zombie)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def within(seconds: float, true: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


def test_it_serves_and_is_stopped(tmp_path: Path, state: Path) -> None:
    opened = engine(tmp_path, revision="abc")
    got = list(opened.complete(requests(50)))
    assert all(isinstance(c, Completion) for c in got)
    assert len(got) == 50
    opened.close()
    ((pid, *arguments),) = starts(state)
    assert gone(pid)
    command = " ".join(arguments)
    assert command.startswith("serve org/model --served-model-name org/model --host 127.0.0.1")
    assert command.endswith("--revision abc --tensor-parallel-size 2")
    assert (tmp_path / "vllm.log").read_text().startswith("$ ")


def test_it_is_started_again_when_it_dies(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM_DIES", "30 40")
    opened = engine(tmp_path)
    got = list(opened.complete(requests(200)))
    opened.close()
    assert all(isinstance(c, Completion) for c in got)
    assert len({c.key for c in got}) == len(got) == 200
    assert len(starts(state)) == 3


def test_it_is_given_up_when_it_dies_at_once(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM_DIES", "0 0 0 0 0 0 0 0")
    opened = engine(tmp_path)
    with pytest.raises(UserError, match=r"died 4 times in a row: EngineCore encountered an issue"):
        list(opened.complete(requests(20)))
    opened.close()
    assert len(starts(state)) == 4


def test_it_does_not_start(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM_REFUSES", "1")
    with pytest.raises(UserError, match="did not start: ValueError: no such model; see .*vllm.log"):
        engine(tmp_path)
    with pytest.raises(UserError, match=r"cannot be started .*--vllm-command"):
        engine(tmp_path, "/no/such/vllm")
    assert len(starts(state)) == 1


@pytest.fixture
def command(workspace: Path) -> list[str]:
    dataset(Store(workspace), "items", "item", [item(f"[[{i}]]") for i in range(150)])
    settings = ["--model", "m", "--engine", "vllm", "--vllm-command", FAKE, "--concurrency", "8"]
    return ["gen", "rollouts", "-w", str(workspace), "-k", "1", *settings]


def test_through_the_command(
    workspace: Path, command: list[str], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM_DIES", "60")
    done = run_vlt(*command)
    assert done.returncode == 0, done.stderr
    check_whole(Store(workspace).open("samples"), 150)
    assert len(list((workspace / "logs").glob("vllm-*.log"))) == 1
    assert run_vlt(*command, "--as", "again").returncode == 0  # all in the journal
    assert len(starts(state)) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_is_left_behind(command: list[str], state: Path, number: signal.Signals) -> None:
    child = start(command)
    assert within(20, lambda: len(starts(state)) == 1)
    time.sleep(1.0)
    os.kill(child.pid, number)
    child.communicate(timeout=60)
    assert within(10, lambda: gone(starts(state)[0][0]))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="Linux alone has it there")
def test_what_it_leaves_in_shared_memory_is_removed(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM_SHARES", "4096")
    monkeypatch.setenv("FAKE_VLLM_DIES", "30")
    opened = engine(tmp_path)
    first = Path("/dev/shm") / (state / "segment-0").read_text()
    assert first.exists()
    assert len(list(opened.complete(requests(100)))) == 100
    assert len(starts(state)) == 2
    assert not first.exists()
    second = Path("/dev/shm") / (state / "segment-1").read_text()
    assert second.exists()
    opened.close()
    assert not second.exists()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="Linux alone has it there")
def test_nor_is_its_shared_memory_when_the_run_is_killed(
    command: list[str], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM_SHARES", "4096")
    child = start(command)
    assert within(60, (state / "segment-0").exists)
    segment = Path("/dev/shm") / (state / "segment-0").read_text()
    assert segment.exists()
    child.kill()
    child.communicate(timeout=60)
    assert within(20, lambda: not segment.exists())


def test_wrong_usage(command: list[str]) -> None:
    words = vlt_error(*command, "--base-url", "http://localhost:1/v1", code=2)
    assert "--engine vllm does not use a running server" in words
