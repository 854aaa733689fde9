"""One training's settings from a recipe, for `vlt train --recipe`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlt.errors import UsageError
from vlt.plural import plural

if TYPE_CHECKING:
    from vlt.train.method import Method


@dataclass(frozen=True)
class FromRecipe:
    """What a recipe says about one training."""

    training: Any
    """The method's settings: vlt.train.settings.Training."""
    model: str | None
    """The model to start from, where the recipe names it."""


def from_recipe(method: Method, recipe: str | None, number: int, phase: int) -> FromRecipe | None:
    """A round's SFT, or the n-th training by another method in it; None without a recipe."""
    if recipe is None:
        return None
    from vlt.runs.plan import of_phase, training
    from vlt.runs.recipe import load_recipe

    found = load_recipe(recipe)
    if number > len(found.rounds):
        raise UsageError(
            f"--round {number}: recipe {found.name!r} has {plural(len(found.rounds), 'round')}"
        )
    settings = found.rounds[number - 1]
    if method.name == "sft":
        if settings.sft is None:
            raise UsageError(
                f"round {number} of recipe {found.name!r} has no SFT; name another round"
            )
        return FromRecipe(training(settings.sft, found), found.models.base.model)
    phases = settings.grpo if method.name == "grpo" else settings.of_method(method)
    if phase > len(phases):
        raise UsageError(
            f"--phase {phase}: round {number} of recipe {found.name!r} has "
            f"{plural(len(phases), f'{method.name.upper()} training')}"
        )
    return FromRecipe(of_phase(phases[phase - 1], found), None)
