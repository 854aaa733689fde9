"""The steps of a recipe, in their order: what each is made of, and with what settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from vlt.engine.model import Model
from vlt.runs.describe import of_band
from vlt.runs.fields import Phase, Recipe, Round, Source
from vlt.runs.phases import MethodPhase
from vlt.runs.stages import (
    IN_WORKSPACE,
    Captions,
    Evaluate,
    Filter,
    Import,
    KeepApart,
    Mix,
    Reasoning,
    Rollouts,
    Train,
)
from vlt.runs.step import Key, Step
from vlt.train.method import find_method
from vlt.train.settings import Training

T = TypeVar("T", bound=Training)

HELD_OUT = ("heldout", "validation")
IMPORTED = "{}-all"
"""Name of items from which the benchmarks' are yet to be taken out."""


def before(recipe: Recipe) -> Iterator[Step]:
    """What comes before the rounds: items that no model is trained on, and the base's accuracy."""
    heldout = recipe.heldout
    yield from _items("heldout", 0, heldout.items)
    if recipe.validation:
        yield from _validation(recipe.validation.items)
    for source in recipe.decontaminate.against if recipe.decontaminate else []:
        if source.source not in HELD_OUT:
            purpose = "to be kept out of the training data"
            yield Step(0, _benchmark(source), Import(source, prepared=True, purpose=purpose))
    if heldout.base:
        yield _evaluation(recipe, 0, "base", recipe.models.base)
    if heldout.base and recipe.prompts.direct:
        yield _evaluation(recipe, 0, "direct", recipe.models.base)


def round_steps(recipe: Recipe, number: int, settings: Round) -> Iterator[Step]:
    """A round: items, samples, filters, SFT, further trainings, and each model's accuracy."""
    yield from _training_items(recipe, "items", number, settings.items)
    yield from _sampling(recipe, number, settings)
    yield Step(number, "sft", Filter((number, "samples"), tuple(settings.filters)))
    base = recipe.models.base
    sft = Train(find_method("sft"), (number, "sft"), base, training(settings.sft, recipe))
    yield Step(number, "sft-model", sft)
    yield _evaluation(recipe, number, "sft", (number, "sft-model"))
    start = "sft-model"
    for phases in settings.phases.values():
        for phase in phases:
            data = "sft" if "sample" in phase.method.takes else "items"
            told = of_phase(phase, recipe)
            stage = Train(phase.method, (number, data), (number, start), told, f" on {data}")
            start = f"{phase.method.name}-model"
            yield Step(number, start, stage)
        if phases:
            yield _evaluation(recipe, number, phases[-1].method.name, (number, start))
    yield from _grpo(recipe, number, settings, start)
    yield _evaluation(recipe, number, "grpo", (number, "grpo-model"))


def training(settings: T, recipe: Recipe) -> T:
    """A training as the recipe's rounds set it, with the recipe's own seed and prompt."""
    return replace(
        settings,
        settings={"seed": recipe.seed, **settings.settings},
        prompt=recipe.prompts.rollout.prompt(),
    )


def of_phase(phase: Phase | MethodPhase, recipe: Recipe) -> Training:
    """The settings of a training that is not SFT; GRPO's band of pass rates among them."""
    if isinstance(phase, Phase):
        return replace(training(phase.train, recipe), difficulty=phase.difficulty)
    of_method: Training = training(phase.train, recipe)
    return of_method


def _items(name: str, number: int, sources: Sequence[Source]) -> Iterator[Step]:
    """One version per source, and one that holds them all where there are several."""
    if len(sources) == 1:
        yield Step(number, name, Import(sources[0]))
        return
    keys = tuple((number, f"{name}-{i + 1}") for i in range(len(sources)))
    for key, source in zip(keys, sources, strict=True):
        yield Step(*key, Import(source))
    yield Step(number, name, Mix(keys, tuple(sources)))


def _training_items(
    recipe: Recipe, name: str, number: int, sources: Sequence[Source]
) -> Iterator[Step]:
    """Items to train on: decontaminated, unless the recipe says `decontaminate: off`."""
    if not recipe.decontaminate:
        yield from _items(name, number, sources)
        return
    imported = IMPORTED.format(name)
    yield from _items(imported, number, sources)
    own = ["heldout", *(["validation"] if recipe.validation else [])]
    named = [_benchmark(source) for source in recipe.decontaminate.against]
    others = tuple((0, benchmark) for benchmark in dict.fromkeys([*own, *named]))
    stage = KeepApart((number, imported), others, recipe.decontaminate, tuple(sources))
    yield Step(number, name, stage)


def _validation(sources: Sequence[Source]) -> Iterator[Step]:
    """The validation items, of which none is a held-out one."""
    imported = IMPORTED.format("validation")
    yield from _items(imported, 0, sources)
    purpose = "items to choose checkpoints by, none of them held out"
    stage = KeepApart((0, imported), ((0, "heldout"),), None, tuple(sources), purpose)
    yield Step(0, "validation", stage)


def _benchmark(source: Source) -> str:
    """The name that a benchmark has in the workspace."""
    return source.source.removeprefix(IN_WORKSPACE)


def _sampling(recipe: Recipe, number: int, settings: Round) -> Iterator[Step]:
    models, prompts = recipe.models, recipe.prompts
    items = (number, "items")
    if settings.teacher == "reasoner":
        caption = recipe.asking(settings.captions, prompts.caption)
        yield Step(number, "captions", Captions(items, models.captioner, caption))
        reason = recipe.asking(settings.reasoning, prompts.reasoning)
        stage = Reasoning((number, "captions"), models.reasoner, reason)
        yield Step(number, "samples", stage)
        return
    asking = recipe.asking(settings.rollouts, prompts.rollout)
    yield Step(number, "samples", Rollouts(items, (number - 1, "grpo-model"), asking))


def _grpo(recipe: Recipe, number: int, settings: Round, start: str) -> Iterator[Step]:
    """The round's GRPO trainings, each from the one before, and the items that they need."""
    method = find_method("grpo")
    for place, phase in enumerate(settings.grpo, 1):
        suffix = "" if len(settings.grpo) == 1 else f"-{place}"
        items = f"grpo-items{suffix}" if phase.items else "items"
        if phase.items:
            yield from _training_items(recipe, items, number, phase.items)
        data = (number, items)
        if phase.rated_by == "rollouts":
            asking = recipe.asking(settings.rollouts, recipe.prompts.rollout)
            drawn, data = (number, f"grpo-samples{suffix}"), (number, f"grpo-rated{suffix}")
            yield Step(*drawn, Rollouts((number, items), (number, "sft-model"), asking))
            yield Step(*data, Filter(drawn, ("grade",)))
        elif phase.rated_by:
            # Those that verification dropped count as well: they say what is hard.
            data = (number if phase.rated_by == "samples" else number - 1), "sft"
        stage = Train(method, data, (number, start), of_phase(phase, recipe), of_band(phase))
        start = "grpo-model"
        yield Step(number, start, stage)


def _evaluation(recipe: Recipe, number: int, what: str, model: Model | Key) -> Step:
    prompt = recipe.prompts.rollout
    if what == "direct" and recipe.prompts.direct:
        prompt = recipe.prompts.direct
    who = {"base": "the base", "direct": "the base, asked directly,"}.get(what, f"{what}-model")
    asking = recipe.asking(recipe.heldout.draw, prompt)
    return Step(number, f"eval-{what}", Evaluate((0, "heldout"), model, who, asking))
