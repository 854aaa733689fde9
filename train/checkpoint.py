"""A checkpoint as a version of the workspace: built where a killed run finds it again, then published.

The build folder is named after the training's identity, so the same command resumes from TRL's last
checkpoint in it, and a changed setting starts over in a separate folder.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlt.errors import UserError
from vlt.workspace.digest import model_digest
from vlt.workspace.manifest import Manifest, Parent, Stage
from vlt.workspace.progress import tracked
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import library_versions, now

LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets")


@dataclass
class Built:
    """What a training left in its build folder."""

    facts: dict[str, Any]
    """Metrics and time."""
    rows_in: int = 0
    rows: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """reason -> rows that could not be trained on."""
    model: str = "model"
    """The subfolder with the model."""


def make_checkpoint(
    store: Store,
    stage: Stage,
    parents: Sequence[Dataset],
    build: Callable[[Path], Built],
    *,
    name: str,
    round: int | None = None,
) -> tuple[Dataset, bool]:
    """The checkpoint that `stage` makes from `parents`, and whether it existed already.

    `build` trains in the folder it is given and leaves the model in a subfolder. The folder may
    contain what a killed run of the same identity left there.
    """
    if found := store.find(name, stage, parents):
        return found, True
    started = time.monotonic()
    with (
        store.lock(name, "checkpoint"),
        tracked(store.root, name, "checkpoint", stage.name),
    ):
        identity = stage.identity([p.manifest.digest for p in parents])
        folder = store.folder("checkpoint") / name / f".building-{identity[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        built = build(folder)
        model = folder / built.model
        manifest = Manifest(
            name=name,
            version=store.next_version(name, "checkpoint"),
            kind="checkpoint",
            stage=stage.name,
            parameters=dict(stage.parameters),
            parents=[
                Parent(p.manifest.name, p.manifest.version, p.manifest.digest) for p in parents
            ],
            identity=identity,
            digest=model_digest(model),
            created=now(),
            round=round,
            rows_in=built.rows_in,
            rows=built.rows,
            failed=dict(built.failed),
            seconds=_rounded(time.monotonic() - started),
            versions=library_versions(LIBRARIES),
            facts=built.facts,
        )
        checkpoint = store.publish(model, manifest)
        shutil.rmtree(folder, ignore_errors=True)
    return checkpoint, False


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


def copy_out(checkpoint: Dataset, to: Path) -> None:
    """Copy a checkpoint to a user's folder; raises UserError if that is not empty."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"--output {str(to)!r} is not an empty folder; name another")
    shutil.copytree(checkpoint.path, to, dirs_exist_ok=True)
