"""What a training is told: one object, filled by the command line, by a recipe or in Python.

A method adds settings of its own by a subclass beside it: see vlt.train.methods.grpo.
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
"""Of a model, that a training may leave as they are: see vlt.train.freeze."""
NAMED = ("zero1", "zero2", "zero3", "fsdp1", "fsdp2")
"""Ways of spreading a model over GPUs for which TRL ships a configuration of accelerate."""
NOT_SPREAD = "none"
"""In their place: the model lies whole on each GPU."""


@dataclass(frozen=True, kw_only=True)
class Choose:
    """Which of a training's models is kept: the one that is best on the validation items."""

    __pydantic_config__ = FORBID

    every: Annotated[int, Ge(1)]
    """Optimizer steps from one model that is judged to the next; the last one always is."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is trained: what every method takes."""

    __pydantic_config__ = FORBID

    settings: Annotated[dict[str, Any], Option("--set", "KEY=VALUE")] = field(default_factory=dict)
    """Fields of TRL's config; what is not given is TRL's default."""
    freeze: list[Literal["vision_tower", "projector"]] = field(default_factory=list)
    """Parts of the model that are left as they are: vision_tower, projector."""
    pixels: Annotated[dict[Literal["min", "max"], int], Option(hidden=True)] = field(
        default_factory=dict
    )
    """The range of pixels that an image is brought into: min and max."""
    max_prompt_tokens: Annotated[int | None, Ge(1)] = None
    """Leave out rows whose prompt is longer, image tokens included."""
    lora: Annotated[dict[str, Any], Option(metavar="KEY=VALUE")] = field(default_factory=dict)
    """Train adapters and not the weights: r, lora_alpha, ... (see vlt.train.lora)."""
    prompt: Annotated[Prompt | None, Option(metavar="FILE")] = None
    """What the trained model is asked with. [the paper's rollout prompt]"""
    processes: Annotated[int, Ge(1)] = 1
    """Processes (GPUs): of this machine, started by accelerate where there is more than one, or with --ray
    of the cluster's nodes."""
    accelerate: Annotated[list[str], Option(metavar="WORD")] = field(default_factory=list)
    """zero2, zero3, fsdp2; none, where a recipe spreads a model that is to lie on one GPU; or further
    arguments of accelerate's launcher."""
    choose: Annotated[Choose | None, Option(hidden=True)] = None
    """Keep the best of several steps' models, not the last; needs validation items."""

    def __post_init__(self) -> None:
        check(self)
        check_accelerate(self.accelerate)


def check_accelerate(words: Sequence[str]) -> None:
    """Raises UserError for what is neither a name that we know nor an argument of the launcher."""
    if not words or words[0] in NAMED or words[0].startswith("-"):
        return
    if words[0] != NOT_SPREAD:
        raise UserError(
            f"accelerate: {words[0]!r} is no way of spreading a model; write {', '.join(NAMED)}, "
            f"{NOT_SPREAD}, or an argument of accelerate's launcher, which begins with -"
        )
    if len(words) > 1:
        raise UserError(f"accelerate: {NOT_SPREAD} stands alone; leave out {' '.join(words[1:])!r}")


def check_freeze(freeze: Iterable[str]) -> list[str]:
    """The parts to freeze, sorted; raises UserError for a part that we do not know."""
    parts = sorted(set(freeze))
    for part in parts:
        if part not in PARTS:
            raise UserError(
                f"freeze: {part!r} is not a part of a model; write {' or '.join(PARTS)}"
            )
    return parts


def check_pixels(pixels: Mapping[Any, int] | None) -> dict[str, int] | None:
    """{"min": ..., "max": ...} of whole pixels, or None; raises UserError for anything else."""
    if not pixels:
        return None
    unknown = set(pixels) - {"min", "max"}
    if unknown or "max" not in pixels:
        raise UserError(
            f"pixels: {dict(pixels)} should be {{min: ..., max: ...}}, in pixels an image"
        )
    found = {"min": int(pixels.get("min", 0)), "max": int(pixels["max"])}
    if not 0 <= found["min"] <= found["max"] or not found["max"]:
        raise UserError(
            f"pixels: min {found['min']} and max {found['max']} leave no size for an image"
        )
    return found
