"""What a model was given, in a comparable form, and which of its weights changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Seen = tuple[tuple[int, ...], str]
"""(the prompt's tokens, a digest of all that its images became)"""

PIXELS = ("pixel", "image", "batch_num_images")
"""What the names of fields that come from images begin with."""


def seen(call: dict[str, Any]) -> Seen:
    """Of a call whose rows are one and the same prompt, however it goes on."""
    rows, ids = call["input_ids"].shape[0], call["input_ids"][0]
    there = call["attention_mask"][0].bool()
    if "labels" in call:
        there = there & (call["labels"][0] == -100)
    digest = hashlib.sha1()
    for name, value in sorted(call.items()):
        if not name.startswith(PIXELS):
            continue
        one = value[: len(value) // rows]
        digest.update(f"{name} {tuple(one.shape)}".encode())
        digest.update(one.double().cpu().numpy().tobytes())
    return tuple(ids[there].tolist()), digest.hexdigest()


def written(call: dict[str, Any]) -> list[int]:
    """The labels of a training's call, of its first row."""
    labels = call["labels"][0]
    found: list[int] = labels[labels != -100].tolist()
    return found


def weights(folder: Path) -> dict[str, Any]:
    """A model's weights by name, in float32."""
    from safetensors import safe_open

    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            found.update({name: opened.get_tensor(name).float() for name in opened.keys()})  # noqa: SIM118
    return found


def moved(before: Path, after: Path) -> dict[str, tuple[int, int]]:
    """Part of the model -> (weights that differ, weights)."""
    from vlt.train.freeze import part_of

    old, new = weights(before), weights(after)
    assert old.keys() == new.keys()
    found: dict[str, tuple[int, int]] = {}
    for name in old:
        differ, every = found.get(part_of(name), (0, 0))
        changed = bool((old[name] - new[name]).abs().max() > 1e-7)
        found[part_of(name)] = (differ + changed, every + 1)
    return found


def areas(calls: Iterable[dict[str, Any]], patch: int) -> list[int]:
    """Pixels of each image that was shown, where the family says its size."""
    found: list[int] = []
    for call in calls:
        if "image_grid_thw" in call:
            found += (call["image_grid_thw"].prod(-1) * patch**2).tolist()
        elif "image_sizes" in call:
            found += call["image_sizes"].prod(-1).tolist()
    return found
