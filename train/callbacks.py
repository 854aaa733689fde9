"""What is recorded while TRL's trainer runs, and when it has ended."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

STEP_SECONDS = 0.5


def write_metrics(history: list[dict[str, Any]], file: Path) -> None:
    """The log history as a long table: step, name, value."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        (log["step"], name, float(value))
        for log in history
        for name, value in log.items()
        if name != "step" and isinstance(value, int | float)
    ]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    types = [("step", pa.int64()), ("name", pa.string()), ("value", pa.float64())]
    arrays = [pa.array(c, t) for c, (_, t) in zip(columns, types, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(types)), file)


def write_progress(file: Path) -> Any:
    """A callback that writes the training's progress as JSON lines: one at the start, one per log, and
    for the steps in between at most one every STEP_SECONDS."""
    from transformers import TrainerCallback

    class WriteProgress(TrainerCallback):  # type: ignore[misc]
        written = 0.0

        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
            self.write(state, {})

        def on_step_end(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
            if time.monotonic() - self.written >= STEP_SECONDS:
                self.write(state, {})

        def on_log(self, _args: Any, state: Any, _control: Any, **more: Any) -> None:
            self.write(state, more.get("logs") or {})

        def write(self, state: Any, logs: dict[str, Any]) -> None:
            if state.is_world_process_zero:
                self.written = time.monotonic()
                line = {"step": state.global_step, "total": state.max_steps, **logs}
                with open(file, "a") as opened:
                    opened.write(json.dumps(line, default=str) + "\n")

    return WriteProgress()


def save_candidates(trainer: Any, folder: Path, every: int) -> Any:
    """A callback that saves the model of each `every`-th step, before that step's checkpoint.

    So a run that resumes from a checkpoint has all the models up to it.
    """
    from transformers import TrainerCallback

    from vlt.train.selection import candidate_folder

    class SaveCandidates(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            step = state.global_step
            if step % every or step >= state.max_steps:
                return
            to = candidate_folder(folder, step)
            part = to.with_name(f".{to.name}")
            trainer.save_model(str(part))
            if state.is_world_process_zero:
                for file in ("training_args.bin", "README.md"):
                    (part / file).unlink(missing_ok=True)
                shutil.rmtree(to, ignore_errors=True)
                part.rename(to)

    return SaveCandidates()
