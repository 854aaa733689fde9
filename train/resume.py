"""From where a training goes on: the newest of TRL's checkpoints that is whole."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

NAMED = "VLT_RESUME"
"""The checkpoint to go on from, "" for none, where one process has chosen it for all: hosts may see the
files of a shared disk at different times."""
MARK = "whole"


def resume_point(run: Path) -> Path | None:
    """The checkpoint in TRL's folder `run` that this process goes on from, or None."""
    named = os.environ.get(NAMED)
    if named is None:
        return last_checkpoint(run, int(os.environ.get("WORLD_SIZE", 1)))
    return run / named if named else None


def last_checkpoint(run: Path, processes: int = 1) -> Path | None:
    """The newest that is whole: its trainer_state.json comes last, and of several processes each has
    said that its own files are written.

    Not that of the last step: transformers would train one step more than was asked for.
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
    """Remove the checkpoints after the one to go on from: they are written anew, and half-written ones
    hold marks of processes that are gone."""
    for checkpoint in run.glob("checkpoint-*"):
        if than is None or step_of(checkpoint) > step_of(than):
            shutil.rmtree(checkpoint)


def mark_whole() -> Any:
    """A callback by which each process says that its files of a checkpoint are written."""
    from transformers import TrainerCallback

    class MarkWhole(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, _control: Any, **_more: Any) -> None:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            _mark(checkpoint, args.process_index).touch()

    return MarkWhole()


def step_of(checkpoint: Path) -> int:
    """The optimizer step that it was written after."""
    return int(checkpoint.name.rpartition("-")[2])


def _mark(checkpoint: Path, process: int) -> Path:
    return checkpoint / f"{MARK}-{process}"
