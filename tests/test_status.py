"""vlt status: what other processes see of a run and of stages, living, ended, failed and killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli import vlt, vlt_error, vlt_json
from tests.rows import dataset, item
from tests.scripted import Scripted, Through
from vlt.datagen.captions import make_captions
from vlt.errors import UserError
from vlt.request import Completion
from vlt.runs.record import RecordedRun, runs
from vlt.runs.status import status
from vlt.workspace.manifest import Stage
from vlt.workspace.progress import LIVE, progress_in, report_progress, tracked
from vlt.workspace.store import Store
from vlt.workspace.workspace import Workspace
from vlt.workspace.writer import Writer

PLAN = [(0, "heldout", "16 items", ""), (1, "items", "24 items", ""), (1, "samples", "k = 4", "")]

RUNNING = """
import sys, time
from pathlib import Path
from vlt.workspace import progress as p
from vlt.runs.record import RecordedRun
p.SECONDS = 0
root = Path(sys.argv[1])
with RecordedRun(root, "small", [(0, "heldout", "", ""), (1, "samples", "", ""), (1, "sft", "", "")]) as run:
    run.begin(0, "heldout")
    run.end(0, "heldout", "heldout@v1", False)
    run.begin(1, "samples")
    with p.tracked(root, "samples", "sample", "gen reasoning"):
        time.sleep(0.05)
        p.report_progress(30, 120, "samples", 2.0)
        print("running", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def running(workspace: Path) -> Any:
    """A process that is in the middle of a run's second step."""
    Store(workspace)
    child = subprocess.Popen(
        [sys.executable, "-c", RUNNING, str(workspace)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    assert child.stdout.readline() == "running\n"
    yield child
    if child.poll() is None:
        child.kill()
    child.communicate()


def steps(found: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["state"] for step in found["run"]["steps"]}


def test_a_running_step_with_its_rate_and_time_left(
    workspace: Path, running: subprocess.Popen[str]
) -> None:
    found = vlt_json("status", "-w", workspace)
    assert found["run"]["state"] == "running"
    assert found["stages"] == []
    assert steps(found) == {"heldout": "done", "samples": "running", "sft": "waiting"}
    step = found["run"]["steps"][1]
    assert (step["done"], step["total"], step["unit"]) == (30, 120, "samples")
    assert (step["rate"], step["left"]) == (2.0, 45.0)
    text = vlt("status", "small", "-w", workspace)
    assert "30/120 samples, 2/s, 45 s left" in text
    assert running.poll() is None


def test_what_was_killed_is_not_called_running(
    workspace: Path, running: subprocess.Popen[str]
) -> None:
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    found = vlt_json("status", "-w", workspace)
    assert found["run"]["state"] == "stopped"
    assert steps(found) == {"heldout": "done", "samples": "stopped", "sft": "waiting"}
    assert found["run"]["steps"][1]["done"] == 30
    text = vlt("status", "-w", workspace)
    assert "running" not in text
    assert "the same `vlt run` resumes it" in text
    # The next writer of the name takes the dead one's place.
    with tracked(workspace, "samples", "sample", "gen reasoning"):
        assert [s.live for s in progress_in(workspace)] == [True]
    assert progress_in(workspace) == []


def test_a_run_that_fails_keeps_its_sentence(workspace: Path) -> None:
    store = Store(workspace)
    with pytest.raises(UserError), RecordedRun(store.root, "mine", PLAN) as run:
        run.begin(0, "heldout")
        run.end(0, "heldout", "heldout@v1", True)
        run.begin(1, "items")
        raise UserError("the source 'x' cannot be read; name another")
    found = status(store.root)
    assert (found["run"]["state"], steps(found)["items"]) == ("failed", "failed")
    assert found["run"]["steps"][1]["reason"] == "the source 'x' cannot be read; name another"
    text = vlt("status", "heldout@v1", "-w", workspace)
    assert "the source 'x' cannot be read" in text
    assert "heldout@v1, existed already" in text


def test_interrupted_and_ended_by_the_recipe(workspace: Path) -> None:
    store = Store(workspace)
    with pytest.raises(KeyboardInterrupt), RecordedRun(store.root, "mine", PLAN) as run:
        run.begin(0, "heldout")
        raise KeyboardInterrupt
    assert steps(status(store.root)) == {
        "heldout": "interrupted",
        "items": "waiting",
        "samples": "waiting",
    }
    with RecordedRun(store.root, "mine", PLAN) as run:
        run.begin(0, "heldout")
        run.end(0, "heldout", "heldout@v1", False)
        run.stop("stopped after round 1: it gains nothing")
    found = status(store.root)
    assert found["run"]["state"] == "done"
    assert found["run"]["reason"] == "stopped after round 1: it gains nothing"
    assert steps(found) == {"heldout": "done", "items": "skipped", "samples": "skipped"}
    assert len(runs(store.root)) == 2


def test_a_stage_by_hand_beats_and_leaves_nothing(workspace: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("vlt.workspace.progress.SECONDS", 0)
    monkeypatch.setattr("vlt.datagen.tally.PROGRESS_SECONDS", 0)
    store = Store(workspace)
    rows = [item(f"How many {n}?", images=[f"{n:064x}"]) for n in range(200)]
    items = dataset(store, "items", "item", rows)
    looked: list[dict[str, Any]] = []

    class Looking(Scripted):
        def complete(self, requests: Any) -> Any:
            for request in requests:
                looked.append(status(store.root))
                yield Completion(request.key, 0, "a dog", "stop", 5, 2)

    with Workspace(workspace) as opened:
        make_captions(opened, items, Through("m", opens=lambda: Looking({})))
    stages = [stage for found in looked for stage in found["stages"]]
    assert len(stages) == 200
    assert {s["stage"] for s in stages} == {"gen captions"}
    assert (stages[0]["done"], stages[-1]["done"], stages[-1]["total"]) == (0, 199, 200)
    assert progress_in(store.root) == []


def test_a_writer_that_raises_leaves_the_reason(workspace: Path) -> None:
    store = Store(workspace)
    stage = Stage("filter", {"chain": []})
    with pytest.raises(UserError), Writer(store, stage, "sft", "sample"):
        raise UserError("the filter 'x' is not one")
    (found,) = vlt_json("status", "-w", workspace)["stages"]
    assert (found["name"], found["state"]) == ("sft", "failed")
    assert found["reason"] == "the filter 'x' is not one"
    dataset(store, "sft", "sample", [])
    assert progress_in(workspace) == []


def test_a_dataset_and_a_model_of_one_name(workspace: Path) -> None:
    Store(workspace)
    with (
        tracked(workspace, "x", "sample", "filter"),
        tracked(workspace, "x", "checkpoint", "train sft"),
    ):
        assert sorted(s.progress.stage for s in progress_in(workspace)) == ["filter", "train sft"]
    report_progress(1, 2)  # outside of any stage it says nothing
    assert list((workspace / LIVE).glob("*.json")) == []


def test_looking_never_gets_in_a_writers_way(workspace: Path) -> None:
    """A reader's lock on the progress file delays the stage for an instant and fails nothing."""
    Store(workspace)
    folder = workspace / LIVE
    folder.mkdir(parents=True)
    with open(folder / "sft.lock", "a") as opened:
        fcntl.flock(opened, fcntl.LOCK_SH)
        code = (
            "import sys; from pathlib import Path; from vlt.workspace.progress import tracked\n"
            "with tracked(Path(sys.argv[1]), 'sft', 'sample', 'filter'): print('in')"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(workspace)], stdout=subprocess.PIPE, text=True
        )
        time.sleep(0.3)
        assert child.poll() is None
    assert child.communicate(timeout=30)[0] == "in\n"


def test_mistakes(workspace: Path) -> None:
    assert "no run in workspace" in vlt_error("status", "-w", workspace)
    with RecordedRun(workspace, "mine", PLAN):
        pass
    assert "no run 'yours'" in vlt_error("status", "yours", "-w", workspace)
    (file,) = (workspace / "runs").glob("*.json")
    assert json.loads(file.read_text())["recipe"] == "mine"


def test_a_record_cut_off_by_a_crash_of_the_machine_is_left_out(workspace: Path) -> None:
    with RecordedRun(workspace, "mine", PLAN):
        pass
    (workspace / "runs" / "torn.json").write_text("")
    (workspace / LIVE).mkdir(parents=True)
    (workspace / LIVE / "torn.json").write_text('{"name": "sft", "of a newer vlt": 1}')
    found = vlt_json("status", "-w", workspace)
    assert found["run"]["recipe"] == "mine"
    assert found["stages"] == []
