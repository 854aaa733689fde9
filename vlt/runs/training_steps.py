"""Training: SFT from the base, GRPO from the round's SFT, and which of their models is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from vlt.datagen.rollouts import make_rollouts
from vlt.errors import UserError
from vlt.evaluation.evaluate import make_evaluation
from vlt.filters.apply import make_filtered
from vlt.runs.describe import of_band, of_draw, of_train
from vlt.runs.fields import Phase, Recipe, Round
from vlt.runs.item_steps import training_items
from vlt.runs.step import Made, Run, Step
from vlt.train.methods.grpo import GrpoTraining
from vlt.train.selection import Chooser
from vlt.train.settings import Training
from vlt.train.training import train

T = TypeVar("T", bound=Training)


def training(settings: T, recipe: Recipe) -> T:
    """A training as the recipe's rounds set it, with the recipe's own seed and prompt."""
    return replace(
        settings,
        settings={"seed": recipe.seed, **settings.settings},
        prompt=recipe.prompts.rollout.prompt(),
    )


def of_phase(phase: Phase, recipe: Recipe) -> GrpoTraining:
    """The settings of a GRPO training."""
    return replace(training(phase.train, recipe), difficulty=phase.difficulty)


def sft_step(recipe: Recipe, number: int, settings: Round) -> Step:
    """SFT on the round's samples, always from the base."""
    return Step(
        number,
        "sft-model",
        f"from the base, {recipe.models.base.model}",
        lambda run: _train_from_base(run, number, settings.sft),
        of_train(settings.sft),
    )


def grpo_steps(recipe: Recipe, number: int, settings: Round) -> Iterator[Step]:
    """The round's GRPO trainings, each from the one before, and the items that they need."""
    start = "sft-model"
    phases = settings.grpo
    for place, phase in enumerate(phases, 1):
        suffix = "" if len(phases) == 1 else f"-{place}"
        if phase.items:
            yield from training_items(recipe, f"grpo-items{suffix}", number, phase.items)
        items = f"grpo-items{suffix}" if phase.items else "items"
        if phase.rated_by == "rollouts":
            yield from _rating_steps(recipe, number, settings, items, suffix)
        yield _grpo_step(recipe, number, phase, _data(number, phase, items, suffix), start)
        start = "grpo-model"


def _data(number: int, phase: Phase, items: str, suffix: str) -> tuple[int, str]:
    """Where the rows of a GRPO training come from; with a band, verified samples of the items."""
    if phase.rated_by is None:
        return number, items
    if phase.rated_by == "rollouts":
        return number, f"grpo-rated{suffix}"
    # Those that verification dropped count as well: they say what is hard.
    return (number if phase.rated_by == "samples" else number - 1), "sft"


def _rating_steps(
    recipe: Recipe, number: int, settings: Round, items: str, suffix: str
) -> Iterator[Step]:
    draw = settings.rollouts
    yield Step(
        number,
        f"grpo-samples{suffix}",
        f"the round's sft-model on {items}, {of_draw(draw)}",
        lambda run: make_rollouts(
            run.store,
            run[number, items],
            **run.asking(run.student(run[number, "sft-model"])),
            prompt=recipe.prompts.rollout.prompt(),
            sampling=draw.sampling(recipe.seed),
            k=draw.k,
            name=f"grpo-samples{suffix}",
            round=number,
        ),
    )
    yield Step(
        number,
        f"grpo-rated{suffix}",
        "graded, for pass rates",
        lambda run: make_filtered(
            run.store,
            run[number, f"grpo-samples{suffix}"],
            chain=["grade"],
            name=f"grpo-rated{suffix}",
            round=number,
        ),
    )


def _grpo_step(
    recipe: Recipe, number: int, phase: Phase, data: tuple[int, str], start: str
) -> Step:
    return Step(
        number,
        "grpo-model",
        f"from the round's {start}{of_band(phase)}",
        lambda run: train(
            run.store,
            "grpo",
            run[data],
            str(run[number, start].path),
            _choosing(run, number, "grpo", of_phase(phase, recipe)),
            round=number,
            progress=run.progress,
        ),
        of_train(phase.train),
    )


def _train_from_base(run: Run, number: int, settings: Training) -> Made:
    """SFT starts from the base in every round (paper, section 4.4), and that is asserted."""
    use = run.recipe.models.base
    made = train(
        run.store,
        "sft",
        run[number, "sft"],
        use.model,
        _choosing(run, number, "sft", training(settings, run.recipe)),
        revision=use.revision,
        round=number,
        progress=run.progress,
    )
    first, started = run.made.get((1, "sft-model")), made[0].manifest.parameters["model"]
    if first and first.manifest.parameters["model"] != started:
        raise UserError(
            f"the base model {use.model!r} is not the one that round 1's SFT started from "
            f"({first.manifest.parameters['model']}, now {started}); put it back, or run in a new "
            "workspace"
        )
    return made


def _choosing(run: Run, number: int, what: str, settings: T) -> T:
    """With the validation items to choose by; answers are journalled as any others."""
    validation = run.recipe.validation
    if not settings.choose or not validation:
        return settings
    items, draw = run[0, "validation"], validation.draw
    prompt, sampling = run.recipe.prompts.rollout.prompt(), draw.sampling(run.recipe.seed)

    def judge(folder: Path) -> dict[str, float]:
        evaluation, _ = make_evaluation(
            run.store,
            items,
            **run.asking(run.student(folder)),
            prompt=prompt,
            sampling=sampling,
            k=draw.k,
            name=f"choose-{what}",
            round=number,
        )
        accuracy: dict[str, float] = evaluation.manifest.facts["accuracy"]
        return accuracy

    asked = {"prompt": prompt.as_json(), "sampling": sampling.as_json(), "k": draw.k}
    every = settings.choose.every
    return replace(settings, choose=Chooser(every=every, items=items, asked=asked, judge=judge))
