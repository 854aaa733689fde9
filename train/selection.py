"""Which of a training's models is kept: the one with the best accuracy on the validation items.

The child saves the weights of every N-th step in candidates/ (full weights, or LoRA adapters); after it
has ended, they are evaluated one after the other, including the last model. The best one, or the earliest of
equals, becomes the checkpoint.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlt.train.settings import Choose
from vlt.workspace.digest import WEIGHTS, model_files
from vlt.workspace.store import Dataset

CANDIDATES = "candidates"
CHOSEN = "chosen"
BESIDE = ("metrics.parquet", "rollouts.parquet")
"""Files about the whole training, kept with whichever model is chosen."""


@dataclass(frozen=True, kw_only=True)
class Chooser(Choose):
    """How often a candidate is saved, and how candidates are evaluated."""

    items: Dataset
    """The validation items; a parent of the checkpoint."""
    asked: Mapping[str, Any]
    """The settings of the evaluation: with `every`, part of the checkpoint's identity."""
    judge: Callable[[Path], Mapping[str, float]]
    """The accuracy of the model in a folder: value, low, high, n."""

    def parameters(self) -> dict[str, Any]:
        """The settings that decide which model is kept."""
        return {"every": self.every, **self.asked}


def choose(folder: Path, chooser: Chooser, job: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Evaluate the models of a training in its build folder; leave the best as chosen/.

    Returns facts: the step of the best, and every candidate's accuracy. Adapters are merged one at a
    time, and only the best merged model so far is kept.
    """
    last = folder / "model"
    scores: list[dict[str, Any]] = []
    best, merged = last, folder / "merged"
    for step, candidate in [*_candidates(folder, steps), (steps, last)]:
        whole = candidate if candidate == last else _whole(candidate, merged, last, job)
        scores.append({"step": step, **chooser.judge(whole)})
        if step == _best(scores):
            best = whole
            if whole == merged:
                best = folder / "best"
                shutil.rmtree(best, ignore_errors=True)
                merged.rename(best)
    _keep(best, last, folder / CHOSEN)
    return {"step": _best(scores), "of": scores}


def candidate_folder(folder: Path, step: int) -> Path:
    """Where the child saves the model of a step."""
    return folder / CANDIDATES / f"step-{step:06d}"


def _candidates(folder: Path, steps: int) -> list[tuple[int, Path]]:
    found = sorted((folder / CANDIDATES).glob("step-*"))
    numbered = [(int(path.name.partition("-")[2]), path) for path in found]
    return [(step, path) for step, path in numbered if step < steps]


def _best(scores: list[dict[str, Any]]) -> int:
    best: int = max(scores, key=lambda score: (score["value"], -score["step"]))["step"]
    return best


def _whole(candidate: Path, merged: Path, last: Path, job: Mapping[str, Any]) -> Path:
    """The candidate as a complete model: with the processor and settings of the last one."""
    whole = candidate
    if job["lora"]:
        from vlt.train.lora import save_merged

        shutil.rmtree(merged, ignore_errors=True)
        given = job["settings"].get("model_init_kwargs") or {}
        dtype = str(given.get("dtype", "float32"))
        save_merged(candidate, job["model"], job["revision"], dtype, merged)
        shutil.copytree(candidate, merged / "adapter")
        whole = merged
    for file in model_files(last):
        if file.suffix not in WEIGHTS and not file.name.endswith(".index.json"):
            shutil.copyfile(file, whole / file.name)
    return whole


def _keep(best: Path, last: Path, chosen: Path) -> None:
    """`best` with the tables of the whole training, in a new folder (hard links, not copies)."""
    shutil.rmtree(chosen, ignore_errors=True)
    shutil.copytree(best, chosen, copy_function=os.link)
    for name in BESIDE:
        if (last / name).exists() and not (chosen / name).exists():
            shutil.copy2(last / name, chosen / name)
