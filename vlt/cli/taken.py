"""One training's settings as a recipe has them, for `vlt train --recipe`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlt.errors import UsageError

if TYPE_CHECKING:
    from vlt.prompts import Prompt
    from vlt.runs.recipe import Train


class Taken:
    """What a recipe says of one training."""

    def __init__(
        self,
        train: Train,
        prompt: Prompt,
        seed: int,
        model: str | None,
        difficulty: tuple[float, float] | None,
    ):
        self.train, self.prompt, self.seed = train, prompt, seed
        self.model, self.difficulty = model, difficulty


def take(kind: str, recipe: str | None, number: int, phase: int) -> Taken | None:
    if recipe is None:
        return None
    from vlt.runs.recipe import load_recipe

    found = load_recipe(recipe)
    if number > len(found.rounds):
        raise UsageError(f"--round {number}: recipe {found.name!r} has {len(found.rounds)} rounds")
    settings = found.rounds[number - 1]
    prompt = found.prompts.rollout.prompt()
    if kind == "sft":
        return Taken(settings.sft, prompt, found.seed, found.models.base.model, None)
    if phase > len(settings.grpo):
        raise UsageError(
            f"--phase {phase}: round {number} of recipe {found.name!r} has "
            f"{len(settings.grpo)} GRPO trainings"
        )
    chosen = settings.grpo[phase - 1]
    return Taken(chosen.train, prompt, found.seed, None, chosen.difficulty)
