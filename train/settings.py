"""The settings of a training: one object, filled by the command line, by a recipe or in Python.

A method adds its own settings in a subclass: see vlt.train.methods.grpo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge

from vlt.errors import UserError
from vlt.fields import FORBID, Option, check
from vlt.prompts import Prompt

PARTS = ("vision_tower", "projector")
"""Parts of a model that a training may freeze: see vlt.train.freeze."""
NAMED = ("zero1", "zero2", "zero3", "fsdp1", "fsdp2")
"""Ways of sharding a model over GPUs for which TRL ships an accelerate configuration."""
NOT_SPREAD = "none"
"""No sharding: the whole model on each GPU."""


@dataclass(frozen=True, kw_only=True)
class Choose:
    """Which of a training's models is kept: the best one on the validation items."""

    __pydantic_config__ = FORBID

    every: Annotated[int, Ge(1)]
    """Optimizer steps between evaluated models; the last model is always evaluated."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is trained: what every method takes."""

    __pydantic_config__ = FORBID

    settings: Annotated[dict[str, Any], Option("--set", "KEY=VALUE")] = field(default_factory=dict)
    """Fields of TRL's config; fields not given keep TRL's default."""
    freeze: list[Literal["vision_tower", "projector"]] = field(default_factory=list)
    """Parts of the model that are not trained: vision_tower, projector."""
    pixels: Annotated[dict[Literal["min", "max"], int], Option(hidden=True)] = field(
        default_factory=dict
    )
    """The range of pixels to which images are resized: min and max."""
    max_prompt_tokens: Annotated[int | None, Ge(1)] = None
    """Leave out rows with longer prompts, image tokens included."""
    lora: Annotated[dict[str, Any], Option(metavar="KEY=VALUE")] = field(default_factory=dict)
    """Train adapters instead of the weights: r, lora_alpha, ... (see vlt.train.lora)."""
    prompt: Annotated[Prompt | None, Option(metavar="FILE")] = None
    """The prompt that the model is trained with. [the paper's rollout prompt]"""
    processes: Annotated[int, Ge(1)] = 1
    """Processes (GPUs): of this machine, started by accelerate if there are several, or with --ray of the
    cluster's nodes."""
    accelerate: Annotated[list[str], Option(metavar="WORD")] = field(default_factory=list)
    """zero2, zero3, fsdp2; none, to keep the model whole on one GPU although the recipe shards it; or
    further arguments of accelerate's launcher."""
    choose: Annotated[Choose | None, Option(hidden=True)] = None
    """Keep the best of several models, not the last; needs validation items."""

    def __post_init__(self) -> None:
        check(self)
        check_accelerate(self.accelerate)


def check_accelerate(words: Sequence[str]) -> None:
    """Raises UserError for what is neither a known name nor an argument of the launcher."""
    if not words or words[0] in NAMED or words[0].startswith("-"):
        return
    if words[0] != NOT_SPREAD:
        raise UserError(
            f"accelerate: {words[0]!r} is unknown; write {', '.join(NAMED)}, {NOT_SPREAD}, or an argument "
            "of accelerate's launcher, which begins with -"
        )
    if len(words) > 1:
        raise UserError(
            f"accelerate: {NOT_SPREAD} takes no other arguments; leave out {' '.join(words[1:])!r}"
        )


def check_freeze(freeze: Iterable[str]) -> list[str]:
    """The parts to freeze, sorted; raises UserError for an unknown part."""
    parts = sorted(set(freeze))
    for part in parts:
        if part not in PARTS:
            raise UserError(
                f"freeze: {part!r} is not a part of a model; write {' or '.join(PARTS)}"
            )
    return parts


def check_pixels(pixels: Mapping[Any, int] | None) -> dict[str, int] | None:
    """{"min": ..., "max": ...} in whole pixels, or None; raises UserError for anything else."""
    if not pixels:
        return None
    unknown = set(pixels) - {"min", "max"}
    if unknown or "max" not in pixels:
        raise UserError(
            f"pixels: {dict(pixels)} should be {{min: ..., max: ...}}, in pixels per image"
        )
    found = {"min": int(pixels.get("min", 0)), "max": int(pixels["max"])}
    if not 0 <= found["min"] <= found["max"] or not found["max"]:
        raise UserError(
            f"pixels: min {found['min']} and max {found['max']} allow no image size; give 0 <= min <= max"
        )
    return found
