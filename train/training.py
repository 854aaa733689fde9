"""From a dataset version to a checkpoint: identity, export, the child process, the manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.engine.model import Model
from vlt.errors import UserError
from vlt.images.pixels import Pixels
from vlt.images.store import ImageStore
from vlt.prompts import Prompt
from vlt.train import row_check
from vlt.train.checkpoint import Built, make_checkpoint
from vlt.train.launch import launch
from vlt.train.lora import check_lora
from vlt.train.method import Method, find_method
from vlt.train.selection import CHOSEN, Chooser, choose
from vlt.train.settings import Training, check_freeze, check_pixels
from vlt.train.trl_rows import Exported, write_trl
from vlt.train.trl_settings import EXECUTION, identity, resolve
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace


def train(
    workspace: Workspace,
    method: Method | str,
    data: Dataset,
    model: Model | Dataset | str,
    training: Training | None = None,
    *,
    name: str | None = None,
    round: int | None = None,
) -> tuple[Dataset, bool]:
    """Train `model` on a dataset; returns (checkpoint, whether it existed already).

    Args:
        method: sft, grpo, dpo, ... (see vlt.train.method).
        model: A checkpoint of the workspace, a directory or a name on the Hub; how it is served does not
            matter.
        training: The method's settings.
        name: The checkpoint's name, by default sft-model, grpo-model, ...

    Raises UserError if the settings, the rows or the model do not fit, or the training fails.
    """
    method = find_method(method) if isinstance(method, str) else method
    name = name or f"{method.name}-model"
    training = method.filled(training)
    check_takes(method, data)
    start = Model(str(model.path)) if isinstance(model, Dataset) else Model.of(model)
    start = replace(start, model=workspace.resolve_model(start.model))
    plan = _Plan(workspace, method, data, start, training)
    parents = [data, *([parent] if (parent := workspace.checkpoint_at(start.model)) else [])]
    parents += method.reads(workspace, training)
    chooser = training.choose
    if chooser:
        if not isinstance(chooser, Chooser):
            raise UserError(
                "choose needs validation items; train with `vlt run`, which takes those of the recipe"
            )
        parents.append(chooser.items)
    stage = Stage(f"train {method.name}", plan.parameters())

    def build(folder: Path) -> Built:
        exported = plan.export(folder)
        job = plan.job(folder, exported, name)
        facts = launch(
            job,
            folder,
            what=stage.name,
            goal=method.goal,
            processes=training.processes,
            accelerate=training.accelerate,
            progress=workspace.progress,
        )
        failed = exported.failed.copy()
        left_out = Counter(facts.pop("left_out"))
        rows = exported.rows - left_out.total()
        built = Built(facts, exported.rows_in, rows, failed + left_out)
        if isinstance(chooser, Chooser):
            facts["chosen"] = choose(folder, chooser, job, facts["steps"])
            built.model = CHOSEN
        return built

    return make_checkpoint(workspace, stage, parents, build, name=name, round=round)


def check_takes(method: Method, data: Dataset) -> None:
    """Raises UserError if the method does not train on such rows."""
    if data.kind not in method.takes:
        raise UserError(
            f"train {method.name} takes {' or '.join(kind + 's' for kind in method.takes)}, but "
            f"{data.ref} holds {data.kind}s; make rows for it with `{method.made_by}`"
        )


def rows_for(
    store: Store, data: Dataset, method: str | None = None
) -> tuple[Method, pa.Table | None]:
    """The method (by default SFT for samples, else GRPO) and its rows (see Method.rows), to export.

    A named method uses the defaults of its own settings; if none is named, the dataset is exported
    unchanged.
    """
    if method is None:
        return find_method("sft" if data.kind == "sample" else "grpo"), None
    found = find_method(method)
    check_takes(found, data)
    return found, found.rows(store, data, found.filled(None))


@dataclass(frozen=True)
class _Plan:
    """What is trained, on what rows and how: identity, export, and the child's job."""

    workspace: Workspace
    method: Method
    data: Dataset
    model: Model
    """A directory, or a name on the Hub."""
    training: Training

    @cached_property
    def prompt(self) -> Prompt:
        if self.training.prompt is None:
            raise UserError("the training has no prompt; give one with --prompt or prompt=")
        return self.training.prompt

    @cached_property
    def pixels(self) -> Pixels | None:
        """The range as the model's processor can apply it; raises UserError if it cannot."""
        limits = check_pixels(self.training.pixels)
        if not limits:
            return None
        from vlt.engine.size_rule import resolved

        return resolved(Pixels(**limits), self.model.model, self.model.revision, served=self.sized)

    @property
    def range(self) -> dict[str, int] | None:
        """The same as a dict, for the child."""
        return {"min": self.pixels.min, "max": self.pixels.max} if self.pixels else None

    @property
    def sized(self) -> bool:
        """Whether images are resized in the export: vLLM inside TRL does not see a range set in memory,
        and a difference of one image token ends the run."""
        return bool({**self.execution, **self.training.settings}.get("use_vllm"))

    @cached_property
    def execution(self) -> Mapping[str, Any]:
        """TRL fields for how and where it runs; raises UserError for settings that do not work."""
        return self.method.execution(self.training)

    def parameters(self) -> dict[str, Any]:
        """Everything besides the rows that decides the weights; raises UserError for invalid settings."""
        training, chooser = self.training, self.training.choose
        images = any(any(batch["images"].to_pylist()) for batch in self.data.batches(["images"]))
        found = {
            "model": self.model.identity(),
            "settings": identity(resolve(self.method, training.settings, images=images)),
            "freeze": check_freeze(training.freeze),
            # As given: the range that the model can apply follows from the model.
            "pixels": check_pixels(training.pixels) if self.pixels else None,
            "max_prompt_tokens": training.max_prompt_tokens,
            "lora": check_lora(training.lora),
            "prompt": self.prompt.as_json(),
            # A batch is per_device_train_batch_size x processes x accumulation.
            "processes": training.processes,
            **self.method.parameters(training),
        }
        if self.method.identity:
            found["method"] = dict(self.method.identity)
        if taken_out := self.method.taken_out(self.workspace, self.data):
            found["taken_out"] = [version.manifest.identity for version in taken_out]
        if isinstance(chooser, Chooser):
            found["choose"] = chooser.parameters()
        return found

    def shown(self, images: ImageStore) -> dict[str, Any]:
        """How rows become prompts with images; a read-only store can be sent to other processes."""
        return {
            "prompt": self.prompt,
            "load_image": images.read,
            "pixels": self.pixels if self.sized else None,
            "rows": self.rows,
        }

    @cached_property
    def rows(self) -> pa.Table | None:
        """The rows to export; None means the dataset's own."""
        return self.method.rows(self.workspace, self.data, self.training)

    def export(self, folder: Path) -> Exported:
        """The rows as TRL reads them, in the build folder; a killed run's export is reused."""
        file, note = folder / "rows.parquet", folder / "rows.json"
        asked = folder / row_check.FILE
        if file.exists() and note.exists():
            found = json.loads(note.read_text())
            if found.pop("sized", self.sized) == self.sized and asked.exists():
                failed = Counter(found.pop("failed"))
                return Exported(file, failed=failed, **found)
        self.workspace.images.flush()
        with ImageStore(self.workspace.images_folder, read_only=True) as images:
            shown = self.shown(images)
            row_check.write_asked(self.data, asked, **shown)
            exported = write_trl(self.data, file, self.method, **shown)
        if not exported.rows:
            why = f": {exported.failed.most_common(1)[0][0]}" if exported.failed else ""
            look = f"vlt show {self.data.ref}" + ("" if self.data.manifest.rows else " --dropped")
            raise UserError(f"{self.data.ref} leaves no row to train on{why}; see `{look}`")
        note.write_text(
            json.dumps(
                {
                    "rows_in": exported.rows_in,
                    "rows": exported.rows,
                    "failed": exported.failed,
                    "images": exported.images,
                    "sized": self.sized,
                }
            )
        )
        return exported

    def job(self, folder: Path, exported: Exported, name: str) -> dict[str, Any]:
        """The child's input: see vlt.train.child.Job."""
        training, chooser = self.training, self.training.choose
        given = resolve(
            self.method, {**self.execution, **training.settings}, images=exported.images
        )
        return {
            "method": self.method.reference or self.method.name,
            "model": self.model.model,
            "revision": self.model.revision,
            "data": str(exported.file),
            "settings": {**EXECUTION, "run_name": name, **given},
            "freeze": check_freeze(training.freeze),
            "pixels": self.range,
            "sized": self.sized,
            "max_prompt_tokens": training.max_prompt_tokens,
            "lora": check_lora(training.lora),
            "own": self.method.own(training),
            "identity": self.method.parameters(training),
            "candidates": chooser.every if chooser else None,
            "as_asked": str(folder / row_check.FILE),
            "folder": str(folder),
            "workspace": str(self.workspace.root.resolve()),
            "version": self.data.ref,
            "logs": str(self.workspace.logs / f"{name}-{folder.name[-16:-8]}"),
        }
