"""One training's settings as a recipe has them, for `vlt train --recipe`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vlt.errors import UsageError


@dataclass(frozen=True)
class Taken:
    """What a recipe says of one training."""

    training: Any
    """The method's settings: vlt.train.settings.Training."""
    model: str | None
    """The model to start from, where the recipe names it."""


def take(method: str, recipe: str | None, number: int, phase: int) -> Taken | None:
    """A round's SFT, or its n-th training by another method; None without a recipe."""
    if recipe is None:
        return None
    from vlt.runs.recipe import load_recipe
    from vlt.runs.training_steps import of_phase, training

    found = load_recipe(recipe)
    if number > len(found.rounds):
        raise UsageError(f"--round {number}: recipe {found.name!r} has {len(found.rounds)} rounds")
    settings = found.rounds[number - 1]
    if method == "sft":
        return Taken(training(settings.sft, found), found.models.base.model)
    if phase > len(settings.grpo):
        raise UsageError(
            f"--phase {phase}: round {number} of recipe {found.name!r} has "
            f"{len(settings.grpo)} GRPO trainings"
        )
    return Taken(of_phase(settings.grpo[phase - 1], found), None)
