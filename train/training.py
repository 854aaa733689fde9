"""From a dataset version to a checkpoint: identity, export, the child process, the manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.errors import UserError
from vlt.images.pixels import Pixels
from vlt.images.store import ImageStore
from vlt.prompts import Prompt
from vlt.train.checkpoint import Built, make_checkpoint
from vlt.train.launch import Progress, launch
from vlt.train.lora import check_lora
from vlt.train.rewards import check_reward
from vlt.train.selection import CHOSEN, Chooser, choose
from vlt.train.settings import EXECUTION, check_freeze, check_pixels, identity, resolve
from vlt.train.trl_rows import Exported, band, items_of_samples, write_trl
from vlt.workspace.digest import model_identity
from vlt.workspace.lineage import fair_samples
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset, Store

TAKES = {"sft": ("sample",), "grpo": ("item", "sample", "caption")}


def run_training(
    kind: str,
    store: Store,
    data: Dataset,
    *,
    model: str,
    prompt: Prompt,
    settings: Mapping[str, Any],
    freeze: Sequence[str],
    pixels: Mapping[str, int] | None,
    max_prompt_tokens: int | None,
    lora: Mapping[str, Any] | None,
    name: str,
    round: int | None,
    revision: str | None,
    processes: int,
    accelerate: Sequence[str],
    progress: Progress | None,
    reward: Mapping[str, Any] | None = None,
    difficulty: tuple[float | None, float | None] | None = None,
    chooser: Chooser | None = None,
) -> tuple[Dataset, bool]:
    """What train_sft ("sft") and train_grpo ("grpo") share; see there for the arguments."""
    if data.kind not in TAKES[kind]:
        raise UserError(
            f"train {kind} takes {' or '.join(TAKES[kind])}s and {data.ref} holds {data.kind}s"
        )
    model = store.resolve_model(model)
    images = any(any(batch["images"].to_pylist()) for batch in data.batches(["images"]))
    parameters: dict[str, Any] = {
        "model": model_identity(model, revision),
        "settings": identity(resolve(kind, settings, images=images)),
        "freeze": check_freeze(freeze),
        "pixels": check_pixels(pixels),
        "max_prompt_tokens": max_prompt_tokens,
        "lora": check_lora(lora),
        "prompt": prompt.as_json(),
        "processes": processes,  # a batch is per_device_train_batch_size x processes x accumulation
    }
    if kind == "grpo":
        parameters["reward"] = check_reward(reward)
        parameters["difficulty"] = list(difficulty) if difficulty else None
    parents = [data, *([parent] if (parent := store.checkpoint_at(model)) else [])]
    if chooser:
        parameters["choose"] = chooser.parameters()
        parents.append(chooser.items)
    stage = Stage(f"train {kind}", parameters)

    def build(folder: Path) -> Built:
        exported = _export(kind, store, data, folder, parameters, prompt, model, difficulty)
        job = {
            "kind": kind,
            "model": model,
            "revision": revision,
            "data": str(exported.file),
            "settings": {
                **EXECUTION,
                "run_name": name,
                **resolve(kind, settings, images=exported.images),
            },
            "freeze": parameters["freeze"],
            "pixels": parameters["pixels"],
            "max_prompt_tokens": max_prompt_tokens,
            "lora": parameters["lora"],
            "reward": parameters.get("reward", {}),
            "candidates": chooser.every if chooser else None,
            "folder": str(folder),
            "logs": str(store.root / "logs" / f"{name}-{folder.name[-16:-8]}"),
        }
        facts = launch(
            f"vlt.train.{kind}",
            job,
            folder,
            processes=processes,
            accelerate=accelerate,
            progress=progress,
        )
        failed = exported.failed.copy()
        if left_out := facts.pop("left_out"):
            failed["prompt too long"] += left_out
        built = Built(facts, exported.rows_in, exported.rows - left_out, failed)
        if chooser:
            facts["chosen"] = choose(folder, chooser, job, facts["steps"])
            built.model = CHOSEN
        return built

    return make_checkpoint(store, stage, parents, build, name=name, round=round)


def _export(
    kind: str,
    store: Store,
    data: Dataset,
    folder: Path,
    parameters: Mapping[str, Any],
    prompt: Prompt,
    model: str,
    difficulty: tuple[float | None, float | None] | None,
) -> Exported:
    """The rows as TRL reads them, in the build folder; a killed run's export is used again."""
    file, note = folder / "rows.parquet", folder / "rows.json"
    if file.exists() and note.exists():
        found = json.loads(note.read_text())
        return Exported(
            file, found["rows_in"], found["rows"], Counter(found["failed"]), found["images"]
        )
    limits = parameters["pixels"]
    pixels = Pixels(limits["min"], limits["max"], pixel_factor(model)) if limits else None
    with ImageStore(store.images_folder) as images:
        exported = write_trl(
            data,
            file,
            prompt=prompt,
            load_image=images.read,
            columns=kind,
            pixels=pixels,
            rows=_prompts(store, data, difficulty) if kind == "grpo" else None,
        )
    if not exported.rows:
        why = f": {exported.failed.most_common(1)[0][0]}" if exported.failed else ""
        raise UserError(f"{data.ref} leaves no row to train on{why}; see `vlt stats {data.ref}`")
    note.write_text(
        json.dumps(
            {
                "rows_in": exported.rows_in,
                "rows": exported.rows,
                "failed": exported.failed,
                "images": exported.images,
            }
        )
    )
    return exported


def _prompts(
    store: Store, data: Dataset, difficulty: tuple[float | None, float | None] | None
) -> pa.Table | None:
    """GRPO's items where they are not simply the dataset's rows."""
    if data.kind != "sample":
        return None
    items = items_of_samples(data, fair_samples(store, data))
    if difficulty:
        items = band(items, *difficulty)
        if not items.num_rows:
            raise UserError(
                f"{data.ref} has no item with a pass rate from {difficulty[0]} to {difficulty[1]}; "
                "widen the difficulty band"
            )
    return items


def pixel_factor(model: str, default: int = 28) -> int:
    """What image sides must be multiples of: the processor's patch size x merge size.

    28 (Qwen2-VL and 2.5-VL) where the model's files do not say.
    """
    for name in ("preprocessor_config.json", "processor_config.json"):
        file = _model_file(model, name)
        if file is None:
            continue
        config = json.loads(file.read_text())
        config = config.get("image_processor", config)
        if "patch_size" in config and "merge_size" in config:
            return int(config["patch_size"]) * int(config["merge_size"])
    return default


def _model_file(model: str, name: str) -> Path | None:
    """A small file of a model directory or of a repository of the Hub."""
    if (folder := Path(model)).is_dir():
        return folder / name if (folder / name).is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(model, name))
    except EntryNotFoundError:
        return None
