"""The checkpoint that a training resumes from: the newest complete one of TRL's."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

NAMED = "VLT_RESUME"
"""The checkpoint to resume from, "" for none, if one process has chosen it for all: hosts may see changes
on a shared disk at different times."""
MARK = "complete"


def resume_point(run: Path) -> Path | None:
    """The checkpoint in TRL's folder `run` that this process resumes from, or None."""
    named = os.environ.get(NAMED)
    if named is None:
        return last_checkpoint(run, int(os.environ.get("WORLD_SIZE", 1)))
    return run / named if named else None


def last_checkpoint(run: Path, processes: int = 1) -> Path | None:
    """The newest complete one: trainer_state.json is written last, and with several processes each has
    marked its own files as written.

    Not that of the final step: transformers would train one step too many.
    """
    for checkpoint in sorted(run.glob("checkpoint-*"), key=step_of, reverse=True):
        try:
            state = json.loads((checkpoint / "trainer_state.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            continue
        marked = processes == 1 or all(_mark(checkpoint, i).exists() for i in range(processes))
        if marked and state["global_step"] < state["max_steps"]:
            return checkpoint
    return None


def drop_later(run: Path, than: Path | None) -> None:
    """Remove the checkpoints after the one to resume from: they will be written again, and incomplete ones
    may have marks of processes that have died."""
    for checkpoint in run.glob("checkpoint-*"):
        if than is None or step_of(checkpoint) > step_of(than):
            shutil.rmtree(checkpoint)


def mark_complete() -> Any:
    """A callback with which each process marks its files of a checkpoint as written."""
    from transformers import TrainerCallback

    class MarkComplete(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, _control: Any, **_more: Any) -> None:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            _mark(checkpoint, args.process_index).touch()

    return MarkComplete()


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which it was written."""
    return int(checkpoint.name.rpartition("-")[2])


def _mark(checkpoint: Path, process: int) -> Path:
    return checkpoint / f"{MARK}-{process}"
