"""The record of a run: its plan and the state of each step, for other processes to read.

    workspace/runs/<recipe>-<time>-<process>.json   rewritten whenever a step begins or ends
    workspace/runs/<recipe>-<time>-<process>.lock   locked for as long as the run's process lives

It is informational only: a resumed run asks the store what exists (see vlt.runs.loop).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vlt.shared_disk import flock
from vlt.workspace.files import write_json
from vlt.workspace.progress import is_locked, lock_of, sentence

RUNS = Path("runs")


@dataclass
class StepRecord:
    """One step of the plan."""

    round: int
    step: str
    what: str
    settings: str = ""
    state: str = "waiting"
    """waiting, running, done, failed, interrupted, or skipped (the run ended successfully without it)."""
    version: str | None = None
    """What it made, or found (name@vN)."""
    existed: bool = False
    started: float | None = None
    """Seconds since 1970."""
    seconds: float | None = None
    reason: str | None = None
    """Why it failed."""


@dataclass
class RunRecord:
    """A run, as its file has it."""

    id: str
    recipe: str
    process: int
    started: float
    steps: list[StepRecord]
    ended: float | None = None
    """None while it runs, and if it was killed."""
    state: str = "running"
    """running, done, failed or interrupted; `live` tells whether running is true."""
    reason: str | None = None
    """Why it failed, or ended before its last round."""
    of: str = ""
    """The recipe's own name, without the arm; "" in records of an older vlt."""
    arm: str = ""
    seed: int | None = None
    arms: list[str] = field(default_factory=list)
    """The labels of all arms that the same command runs in turn; empty for a single run."""
    live: bool = field(default=False, compare=False)
    """Its process holds the lock."""

    @property
    def label(self) -> str:
        """grpo-only, seed 2"""
        return f"{self.arm}, seed {self.seed}" if self.arm else ""


class RecordedRun(AbstractContextManager["RecordedRun"]):
    """Records a run for the duration of the body, which reports when a step begins and ends."""

    def __init__(
        self,
        root: Path,
        recipe: str,
        steps: Sequence[tuple[int, str, str, str]],
        *,
        arm: str = "",
        seed: int | None = None,
        arms: Sequence[str] = (),
    ):
        """`steps` are (round, name, what, settings) in the order of the plan; `arms` are the labels of all
        arms that the command runs."""
        self.folder = root / RUNS
        shown = f"{recipe}, {arm}, seed {seed}" if arms else recipe
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", shown)[:80]
        now = time.time()
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%f")
        self.record = RunRecord(
            id=f"{name}-{moment}-{os.getpid()}",
            recipe=shown,
            process=os.getpid(),
            started=now,
            steps=[StepRecord(*step) for step in steps],
            of=recipe,
            arm=arm,
            seed=seed,
            arms=[*arms],
        )

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self.folder / f"{self.record.id}.json"
        # Held to the end: the lock shows that the run is alive.
        self._lock = open(lock_of(self._file), "a")
        flock(self._lock, fcntl.LOCK_EX)
        self._write()
        return self

    def begin(self, round: int, name: str) -> None:
        """A step begins."""
        step = self._step(round, name)
        step.state, step.started = "running", time.time()
        self._write()

    def end(self, round: int, name: str, version: str, existed: bool) -> None:
        """A step has made its version, or found it."""
        step = self._step(round, name)
        step.state, step.version, step.existed = "done", version, existed
        step.seconds = _millis(time.time() - (step.started or time.time()))
        self._write()

    def stop(self, reason: str) -> None:
        """The recipe's own `stop` ends the run before its last step."""
        self.record.reason = reason

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.record.ended = time.time()
        self.record.state = "done"
        if error is not None:
            stopped = isinstance(error, KeyboardInterrupt)
            self.record.state = "interrupted" if stopped else "failed"
            self.record.reason = sentence(error)
            for step in self.record.steps:
                if step.state == "running":
                    step.state, step.reason = self.record.state, self.record.reason
                    step.seconds = _millis(time.time() - (step.started or time.time()))
        else:
            for step in self.record.steps:
                step.state = "skipped" if step.state == "waiting" else step.state
        self._write()
        self._lock.close()

    def _step(self, round: int, name: str) -> StepRecord:
        return next(s for s in self.record.steps if (s.round, s.step) == (round, name))

    def _write(self) -> None:
        fields = asdict(self.record)
        del fields["live"]
        write_json(fields, self._file)


def runs(root: Path) -> list[RunRecord]:
    """The recorded runs of a workspace, oldest first; unreadable records are left out."""
    found = []
    for file in (root / RUNS).glob("*.json"):
        live = is_locked(lock_of(file))
        try:
            fields: dict[str, Any] = json.loads(file.read_text())
            steps = [StepRecord(**step) for step in fields.pop("steps")]
            found.append(RunRecord(**fields, steps=steps, live=live))
        except (ValueError, TypeError, KeyError):  # truncated by a crash; or of a newer vlt
            continue
    return sorted(found, key=lambda run: run.started)


def arms_of(recorded: Sequence[RunRecord], recipe: str) -> list[RunRecord]:
    """The newest record of each arm and seed of a recipe, in the order in which they first ran."""
    found: dict[str, RunRecord] = {}
    for run in recorded:
        if run.arm and run.of == recipe:
            found[run.label] = run
    return list(found.values())


def _millis(seconds: float) -> float:
    return round(seconds, 3)
