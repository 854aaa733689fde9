"""Carries a recipe out: round by round, each step a version in the workspace.

Nothing here remembers what was done. Every step asks the store whether its version exists (same
parameters, same parents' content) and makes it if not, so a run that was killed, or a recipe that
was edited, goes on with just what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from vlt.errors import UsageError
from vlt.images import ImageStore
from vlt.journal import Journal
from vlt.recipe import Recipe
from vlt.steps import Run, Step, before, round_steps
from vlt.store import Dataset, Store

STEPS = ("items", "captions", "samples", "sft", "sft-model", "eval-sft", "grpo-model", "eval-grpo")
"""The steps of a round by name, as --until takes them (a phase's own items are `grpo-items`)."""


def plan(recipe: Recipe, *, rounds: int | None = None, until: str | None = None) -> list[Step]:
    """All steps in order. `until` is the last step's name in the last round."""
    if until is not None and until not in STEPS:
        raise UsageError(f"--until {until!r} is not a step; the steps are {', '.join(STEPS)}")
    last = min(rounds or len(recipe.rounds), len(recipe.rounds))
    steps = list(before(recipe))
    for number in range(1, last + 1):
        steps += round_steps(recipe, number, recipe.rounds[number - 1])
    if until is not None:
        ends = [i for i, step in enumerate(steps) if step.round == last and step.name == until]
        if not ends:
            raise UsageError(f"--until {until!r} is not a step of round {last} of this recipe")
        steps = steps[: ends[-1] + 1]
    return steps


def carry_out(
    store: Store,
    recipe: Recipe,
    steps: list[Step],
    *,
    progress: Any = None,
    on_step: Callable[[Step, Dataset | None, bool], None] = lambda *_: None,
) -> Run:
    """Carry the steps out in order; `on_step` is told at each one's start (None) and end.

    Raises UserError at the first step that fails; what was made before stays.
    """
    with ImageStore(store.images) as images, closing(Journal(store.journal)) as journal:
        run = Run(store, recipe, images, journal, progress)
        for step in steps:
            on_step(step, None, False)
            dataset, existed = step.carry_out(run)
            run.made[step.key] = dataset
            on_step(step, dataset, existed)
    return run
