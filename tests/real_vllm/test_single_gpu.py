"""The recipe for one GPU from end to end, on tiny weights: vLLM and TRL in turns.

`make test-vllm` carries it out with a few deaths, `make test-vllm-full` with one in every step.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli import vlt, vlt_json
from tests.real_vllm.server import ARGUMENTS, ENVIRONMENT, forked
from tests.real_vllm.small_single_gpu import BENCHMARKS, EASY, write_single_gpu
from vlt.workspace.store import Store

FULL = bool(os.environ.get("VLT_EVERY_STEP"))
"""Kill it in every step of two rounds, not at one moment of each kind in one round."""
SOME = {"1-captions-asking", "1-sft-writing", "1-sft-model-training"}
"""One moment of each kind."""
ASK = ("eval-", "captions", "samples", "grpo-samples")
"""Steps that ask a model begin so."""
TAG = "VLT_TEST_RUN"
GONE_SECONDS = 60.0


@pytest.fixture
def tag(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """In the environment of every process of the run, and of all that it starts."""
    mark = uuid.uuid4().hex
    for name, value in {
        **ENVIRONMENT,
        TAG: mark,
        "VLT_VLLM_COMMAND": forked(),
        "VLT_VLLM_ARGS": ARGUMENTS,
    }.items():
        monkeypatch.setenv(name, value)
    yield mark
    for process in marked(mark):
        process.kill()


def marked(mark: str) -> list[psutil.Process]:
    """Processes that the run has started, or that those have."""
    found = []
    for process in psutil.process_iter():
        try:
            ended = process.status() == psutil.STATUS_ZOMBIE
            if process.pid != os.getpid() and not ended and process.environ().get(TAG) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def shared_memory() -> set[str]:
    """Segments of it, as vLLM leaves them behind."""
    return set(os.listdir("/dev/shm")) if Path("/dev/shm").is_dir() else set()


def check_conservation(workspace: Path) -> None:
    for version in Store(workspace).all():
        m = version.manifest
        if m.kind != "checkpoint":
            gone = sum(sum(reasons.values()) for reasons in m.dropped.values())
            assert m.rows_in == m.rows + gone + sum(m.failed.values()), version.ref


@pytest.mark.timeout(4 * 3600 if FULL else 1800)
def test_from_end_to_end(tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, moments = tmp_path / "workspace", tmp_path / "moments"
    moments.mkdir()
    recipe = write_single_gpu(tmp_path / "recipe.yaml")
    for seed, name in enumerate(BENCHMARKS):
        settings = {"n": 5, "split": "heldout", "seed": 20 + seed, "families": EASY}
        given = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
        vlt("import", "miniature", "-w", workspace, "--as", name, *given)
    monkeypatch.setenv("MORTAL", str(moments))
    if not FULL:
        monkeypatch.setenv("ONLY", " ".join(SOME))
    rounds = [] if FULL else ["--rounds", "1"]
    command = ["tests.real_vllm.mortal", "run", str(recipe), "-w", str(workspace), *rounds]
    deaths = 0
    while True:
        before = shared_memory()
        done = subprocess.run(
            [sys.executable, "-m", *command, "--json"], capture_output=True, text=True, check=False
        )
        waited = time.monotonic()
        while left := marked(tag):
            assert time.monotonic() - waited < GONE_SECONDS, [p.cmdline() for p in left]
            time.sleep(0.1)
        check_conservation(workspace)
        if done.returncode != -signal.SIGKILL:
            break
        deaths += 1
    assert done.returncode == 0, done.stderr[-3000:]
    assert shared_memory() <= before  # of this last run, which nobody killed
    died = {f.name for f in moments.iterdir()}
    assert deaths == len(died)
    print(f"died {deaths} times")
    if not FULL:
        assert died == SOME
    else:
        for name in written_in(workspace):
            step = name.partition("-")[2]
            if step.endswith("-model"):
                assert {f"{name}-training", f"{name}-asking"} <= died
            elif step.startswith(ASK):
                assert {f"{name}-asking", f"{name}-writing"} <= died
            else:
                assert f"{name}-writing" in died
    found = json.loads(done.stdout)["rounds"]
    assert len(found) == (2 if FULL else 1)
    for of_round in found:
        for model in ("sft", "grpo"):
            assert of_round[model]["n"] == 12
    store = Store(workspace)
    for name in ("samples@r1", "grpo-samples@r1", "captions@r1"):
        version = store.open(name)
        assert version.manifest.rows and not version.manifest.failed
    assert vlt_json("run", recipe, "-w", workspace, *rounds)["rounds"] == found


def written_in(workspace: Path) -> set[str]:
    """The steps that have written a version, as mortal.py names them.

    A training evaluates its checkpoints within its own step, under names that begin with `choose-`.
    """
    made = [version.manifest for version in Store(workspace).all()]
    return {
        f"{m.round or 0}-{m.name}"
        for m in made
        if m.name not in BENCHMARKS
        and not m.name.endswith("-answers")
        and not m.name.startswith("choose-")
    }
