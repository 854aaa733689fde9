"""The steps of a recipe: what each stage of a round is made from, and how it is carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vlt.datagen.captions import make_captions
from vlt.datagen.reasoning import make_reasoning
from vlt.datagen.rollouts import make_rollouts
from vlt.engine.model import Model
from vlt.evaluation.evaluate import make_evaluation
from vlt.filters.apply import make_filtered
from vlt.runs.describe import of_draw, of_filter
from vlt.runs.fields import Recipe, Round
from vlt.runs.item_steps import benchmark_steps, item_steps, training_items, validation_steps
from vlt.runs.step import Made, Run, Step
from vlt.runs.training_steps import grpo_steps, sft_step, training

__all__ = ["Made", "Run", "Step", "before", "round_steps", "training"]


def before(recipe: Recipe) -> Iterator[Step]:
    """What comes before the rounds: items that no model is trained on, and the base's accuracy."""
    heldout = recipe.heldout
    yield from item_steps("heldout", 0, heldout.items)
    yield from validation_steps(recipe)
    yield from benchmark_steps(recipe)
    if heldout.base:
        yield _evaluation(recipe, 0, "base", lambda run: run.recipe.models.base)
    if heldout.base and recipe.prompts.direct:
        yield _evaluation(recipe, 0, "direct", lambda run: run.recipe.models.base)


def round_steps(recipe: Recipe, number: int, settings: Round) -> Iterator[Step]:
    """A round: items, samples, filters, SFT, GRPO, and both models' accuracy."""
    yield from training_items(recipe, "items", number, settings.items)
    yield from _sampling(recipe, number, settings)
    yield Step(
        number,
        "sft",
        ", ".join(of_filter(f) for f in settings.filters) or "no filters",
        lambda run: make_filtered(
            run.workspace,
            run[number, "samples"],
            chain=settings.filters,
            name="sft",
            round=number,
        ),
    )
    yield sft_step(recipe, number, settings)
    yield _evaluation(recipe, number, "sft", lambda run: run.student(run[number, "sft-model"]))
    yield from grpo_steps(recipe, number, settings)
    yield _evaluation(recipe, number, "grpo", lambda run: run.student(run[number, "grpo-model"]))


def _sampling(recipe: Recipe, number: int, settings: Round) -> Iterator[Step]:
    prompts = recipe.prompts
    if settings.teacher == "reasoner":
        yield Step(
            number,
            "captions",
            f"{recipe.models.captioner.model}, {of_draw(settings.captions)}",
            lambda run: make_captions(
                run.workspace,
                run[number, "items"],
                recipe.models.captioner,
                recipe.asking(settings.captions, prompts.caption),
                name="captions",
                round=number,
            ),
        )
        yield Step(
            number,
            "samples",
            f"{recipe.models.reasoner.model} on captions, {of_draw(settings.reasoning)}",
            lambda run: make_reasoning(
                run.workspace,
                run[number, "captions"],
                recipe.models.reasoner,
                recipe.asking(settings.reasoning, prompts.reasoning),
                name="samples",
                round=number,
            ),
        )
        return
    yield Step(
        number,
        "samples",
        f"round {number - 1}'s grpo-model on images, {of_draw(settings.rollouts)}",
        lambda run: make_rollouts(
            run.workspace,
            run[number, "items"],
            run.student(run[number - 1, "grpo-model"]),
            recipe.asking(settings.rollouts, prompts.rollout),
            name="samples",
            round=number,
        ),
    )


def _evaluation(recipe: Recipe, number: int, what: str, model: Callable[[Run], Model]) -> Step:
    draw = recipe.heldout.draw
    prompt = recipe.prompts.rollout
    if what == "direct" and recipe.prompts.direct:
        prompt = recipe.prompts.direct
    who = {"base": "the base", "direct": "the base, asked directly,"}.get(what, f"{what}-model")
    return Step(
        number,
        f"eval-{what}",
        f"{who} on held-out items, {of_draw(draw)}",
        lambda run: make_evaluation(
            run.workspace,
            run[0, "heldout"],
            model(run),
            recipe.asking(draw, prompt),
            name=f"eval-{what}",
            round=number or None,
        ),
    )
