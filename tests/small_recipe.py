"""The miniature's recipe, reduced to seconds per stage: the same models and stages, few items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vlt.runs.recipe import BUNDLED


def write_small(file: Path, **changes: Any) -> Path:
    """Two rounds of 24 items, k = 2, two steps of SFT and one of GRPO."""
    tree = yaml.safe_load((BUNDLED / "miniature.yaml").read_text())
    for role, model in tree["models"].items():
        path = model["model"] if isinstance(model, dict) else model
        absolute = str((BUNDLED / path).resolve())
        tree["models"][role] = {**model, "model": absolute} if isinstance(model, dict) else absolute
    tree["name"] = "small"
    del tree["arms"]  # grpo-only has no samples, and round 2 below goes by their pass rates
    tree["canary"] = False  # of models that have hardly been trained, a few items tell nothing
    tree["heldout"]["items"] = [_few(source, 16) for source in tree["heldout"]["items"]]
    tree["reasoning"]["k"] = tree["rollouts"]["k"] = 2
    sft = {"max_steps": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}
    grpo = {
        "max_steps": 1,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "generation_batch_size": 8,
        "max_completion_length": 32,
    }
    for holder in (tree, *tree["rounds"]):
        if "sft" in holder:
            _train(holder["sft"], sft)
        for phase in holder.get("grpo", []):
            _train(phase.setdefault("train", {}), grpo)
            phase["items"] = [_few(source, 8) for source in phase.get("items", [])]
        if "items" in holder:
            holder["items"] = [_few(source, 24) for source in holder["items"]]
    # Round 2 trains on its own items by their pass rates, as a recipe may.
    tree["rounds"][1]["grpo"][0].pop("items")
    tree["rounds"][1]["grpo"][0]["difficulty"] = [0.0, 1.0]
    tree.update(changes)
    file.write_text(yaml.safe_dump(tree))
    return file


def _few(source: dict[str, Any], n: int) -> dict[str, Any]:
    return {**source, "settings": {**source["settings"], "n": n}}


def _train(train: dict[str, Any], changes: dict[str, Any]) -> None:
    settings = train.setdefault("settings", {})
    for key in ("num_train_epochs", "steps_per_generation"):
        settings.pop(key, None)
    settings.update(changes)
