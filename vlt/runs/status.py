"""What is going on in a workspace: each step of a run, and stages started by hand.

It is read from the run's record and the stages' progress (vlt.workspace.progress), whose locks end
with their process: what was killed is never shown as running.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from vlt.errors import UserError
from vlt.runs.record import RunRecord, StepRecord, arms_of, runs
from vlt.workspace.progress import SeenProgress, StageProgress, iso, progress_in

STOPPED = "stopped"
"""State of a run or a stage whose process is gone without recording an end."""


def status(root: Path, name: str | None = None) -> dict[str, Any]:
    """A JSON object: `run` with its steps (the newest, or the one `name` refers to), its recipe's `arms`
    if there are several, and `stages`.

    `name` is a recipe's, a run's id, an arm with its seed ("grpo-only, seed 1"), or a version (name@vN)
    that the run made or found. A step is waiting, running, done, failed, interrupted, skipped or
    stopped. `stages` are those outside the run: running, or how they ended, with the reason; `run` is
    null if none was recorded. Raises UserError if there is no such run, or nothing at all.
    """
    seen = progress_in(root)
    recorded = runs(root)
    run = _run(root, recorded, name)
    if run is None and not seen:
        raise UserError(
            f"there is no run in workspace {str(root)!r}, and nothing is being written; start one with "
            "`vlt run RECIPE`, or list what exists with `vlt ls`"
        )
    others = [s for s in seen if run is None or s.progress.process != run.process]
    return {
        "run": _of_run(run, [s for s in seen if s not in others]) if run else None,
        "arms": _arms(recorded, run) if run else [],
        "stages": [_of_stage(s) for s in others if s.live or name is None],
    }


def _arms(recorded: list[RunRecord], run: RunRecord) -> list[dict[str, Any]]:
    """The arms of the run's recipe, each with its newest run; including those waiting for their turn."""
    ran = {each.label: each for each in arms_of(recorded, run.of)}
    labels = list(dict.fromkeys([*run.arms, *ran]))
    if len(labels) < 2:
        return []
    after = run.arms[run.arms.index(run.label) + 1 :] if run.label in run.arms else []
    found = []
    for label in labels:
        one = ran.get(label)
        if one is None or (label in after and run.live and one.started < run.started):
            state, steps = "waiting", []  # for its turn
        else:
            state, steps = _state(one), one.steps
        done = sum(step.state == "done" for step in steps)
        about = {"arm": label, "state": state, "done": done, "steps": len(steps)}
        found.append({**about, "id": one.id if one else None})
    return found


def _state(run: RunRecord) -> str:
    return STOPPED if run.state == "running" and not run.live else run.state


def _run(root: Path, recorded: list[RunRecord], name: str | None) -> RunRecord | None:
    if name is None:
        return recorded[-1] if recorded else None
    found = [
        run
        for run in recorded
        if name in (run.id, run.recipe, run.of, run.label)
        or any(step.version == name for step in run.steps)
    ]
    if not found:
        known = ", ".join(dict.fromkeys(run.recipe for run in recorded))
        held = f"it has runs of {known}" if known else "it has no runs yet"
        raise UserError(f"no run {name!r} in workspace {str(root)!r}; {held}")
    return found[-1]


def _of_run(run: RunRecord, seen: list[SeenProgress]) -> dict[str, Any]:
    state = _state(run)
    progress = max(seen, key=lambda s: s.progress.started).progress if seen else None
    end = run.ended or (time.time() if run.live else _last(run, progress))
    return {
        "id": run.id,
        "recipe": run.recipe,
        "arm": run.arm or None,
        "seed": run.seed,
        "state": state,
        "reason": run.reason,
        "process": run.process,
        "started": iso(run.started),
        "seconds": round(end - run.started, 1),
        "steps": [_of_step(step, state, progress) for step in run.steps],
    }


def _last(run: RunRecord, progress: StageProgress | None) -> float:
    """The last recorded activity of a run that was killed."""
    signs = [(s.started or 0) + (s.seconds or 0) for s in run.steps]
    return max([run.started, *signs, progress.updated if progress else 0])


def _of_step(step: StepRecord, run: str, progress: StageProgress | None) -> dict[str, Any]:
    state = STOPPED if step.state == "running" and run == STOPPED else step.state
    found: dict[str, Any] = {
        "round": step.round,
        "step": step.step,
        "state": state,
        "version": step.version,
        "existed": step.existed,
        "seconds": step.seconds,
        "reason": step.reason,
    }
    if state in ("running", STOPPED) and progress and progress.started >= (step.started or 0):
        found |= _progress(progress)
    if state == "running":
        found["seconds"] = round(time.time() - (step.started or time.time()), 1)
    return found


def _of_stage(seen: SeenProgress) -> dict[str, Any]:
    progress = seen.progress
    ended = "interrupted" if progress.interrupted else "failed" if progress.failed else STOPPED
    state = "running" if seen.live else ended
    end = time.time() if seen.live else progress.updated
    return {
        "name": progress.name,
        "state": state,
        "process": progress.process,
        "started": iso(progress.started),
        "seconds": round(end - progress.started, 1),
        "reason": progress.failed,
        **_progress(progress),
    }


def _progress(progress: StageProgress) -> dict[str, Any]:
    return {
        "stage": progress.stage,
        "done": progress.done,
        "total": progress.total,
        "unit": progress.unit,
        "rate": progress.rate,
        "left": None if progress.left is None else round(progress.left, 1),
        "silent": round(time.time() - progress.updated, 1),
        "replicas": progress.replicas,
    }
