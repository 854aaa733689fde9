"""Training: SFT from the base, GRPO from the round's SFT, and which of their models is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlt.datagen.asking import Draw
from vlt.datagen.rollouts import make_rollouts
from vlt.errors import UserError
from vlt.evaluation.evaluate import make_evaluation
from vlt.filters.apply import make_filtered
from vlt.runs.describe import of_band, of_draw, of_train
from vlt.runs.fields import Phase, Recipe, Round, Train
from vlt.runs.item_steps import training_items
from vlt.runs.step import Made, Run, Step
from vlt.train.grpo import train_grpo
from vlt.train.selection import Chooser
from vlt.train.sft import train_sft


def training(train: Train, recipe: Recipe) -> dict[str, Any]:
    """The arguments of train_sft and train_grpo that a recipe's training sets."""
    return {
        "settings": {"seed": recipe.seed, **train.settings},
        "freeze": list(train.freeze),
        "pixels": dict(train.pixels) or None,
        "max_prompt_tokens": train.max_prompt_tokens,
        "lora": dict(train.lora),
        "prompt": recipe.prompts.rollout.prompt(),
        "processes": train.processes,
        "accelerate": list(train.accelerate),
    }


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
            run.workspace,
            run[number, items],
            run.student(run[number, "sft-model"]),
            recipe.asking(draw, recipe.prompts.rollout),
            name=f"grpo-samples{suffix}",
            round=number,
        ),
    )
    yield Step(
        number,
        f"grpo-rated{suffix}",
        "graded, for pass rates",
        lambda run: make_filtered(
            run.workspace,
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
        lambda run: train_grpo(
            run.workspace,
            run[data],
            model=str(run[number, start].path),
            difficulty=phase.difficulty,
            reward=phase.train.reward,
            **training(phase.train, recipe),
            choose=_chooser(run, number, "grpo", phase.train),
            name="grpo-model",
            round=number,
            progress=run.workspace.progress,
        ),
        of_train(phase.train),
    )


def _train_from_base(run: Run, number: int, train: Train) -> Made:
    """SFT starts from the base in every round (paper, section 4.4), and that is asserted."""
    use = run.recipe.models.base
    made = train_sft(
        run.workspace,
        run[number, "sft"],
        model=use.model,
        revision=use.revision,
        **training(train, run.recipe),
        choose=_chooser(run, number, "sft", train),
        name="sft-model",
        round=number,
        progress=run.workspace.progress,
    )
    first, started = run.made.get((1, "sft-model")), made[0].manifest.parameters["model"]
    if first and first.manifest.parameters["model"] != started:
        raise UserError(
            f"the base model {use.model!r} is not the one that round 1's SFT started from "
            f"({first.manifest.parameters['model']}, now {started}); put it back, or run in a new "
            "workspace"
        )
    return made


def _chooser(run: Run, number: int, what: str, train: Train) -> Chooser | None:
    """Judges a training's models on the validation items; answers are journalled as any others."""
    validation = run.recipe.validation
    if not train.choose or not validation:
        return None
    items, draw = run[0, "validation"], validation.draw
    asking = run.recipe.asking(draw, run.recipe.prompts.rollout)

    def judge(folder: Path) -> dict[str, float]:
        evaluation, _ = make_evaluation(
            run.workspace,
            items,
            run.student(folder),
            asking,
            name=f"choose-{what}",
            round=number,
        )
        accuracy: dict[str, float] = evaluation.manifest.facts["accuracy"]
        return accuracy

    asked = {"prompt": asking.prompt.as_json(), **Draw.parameters(asking)}
    return Chooser(every=train.choose.every, items=items, asked=asked, judge=judge)
