"""The steps of a recipe, in order: what each is made from, and with what settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import takewhile
from typing import TypeVar

from vlt.datagen.asking import Asking, Draw
from vlt.engine.model import Model
from vlt.evaluation.canary import Canary
from vlt.evaluation.judging_settings import JUDGING
from vlt.runs.canary import ITEMS as CANARY
from vlt.runs.canary import CanaryItems, Look
from vlt.runs.describe import of_band
from vlt.runs.fields import IN_WORKSPACE, Phase, Recipe, Round, Source
from vlt.runs.judge_use import JudgeUse
from vlt.runs.judged import judging_steps
from vlt.runs.phases import MethodPhase, hints_of
from vlt.runs.stages import (
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
"""Name of items before decontamination."""


def before(recipe: Recipe) -> Iterator[Step]:
    """What comes before the rounds: items that no model is trained on, and the base's accuracy."""
    heldout = recipe.heldout
    if heldout:
        yield from _items("heldout", 0, heldout.items)
    if recipe.validation:
        yield from _validation(recipe.validation.items, heldout is not None)
    for source in recipe.decontaminate.against if recipe.decontaminate else []:
        if source.source not in HELD_OUT:
            purpose = "to be kept out of the training data"
            yield Step(0, _benchmark(source), Import(source, prepared=True, purpose=purpose))
    if heldout and recipe.canary:
        yield Step(*CANARY, CanaryItems((0, "heldout"), recipe.canary.items, recipe.seed))
    if heldout and heldout.base:
        yield from _evaluation(recipe, 0, "base", recipe.models.base)
        if recipe.prompts.direct:
            yield from _evaluation(recipe, 0, "direct", recipe.models.base)


def round_steps(recipe: Recipe, number: int, settings: Round) -> Iterator[Step]:
    """A round: items, samples, filters, SFT, further trainings, and each model's accuracy."""
    yield from _training_items(recipe, "items", number, settings.items)
    if settings.teacher:
        samples = []
        for step in _sampling(recipe, number, settings):
            yield step
            if step.name.startswith("samples"):
                judged = list(judging_steps(number, step.key, _judges(recipe, settings)))
                yield from judged
                samples.append(judged[-1].key if judged else step.key)
        yield Step(number, "sft", Filter(tuple(samples), tuple(settings.filters)))
    start = student(recipe, number - 1)
    if settings.sft:
        base, trained = recipe.models.base, training(settings.sft, recipe)
        start = (number, "sft-model")
        yield Step(*start, Train(find_method("sft"), (number, "sft"), base, trained))
        yield from _evaluation(recipe, number, "sft", start)
    for phases in settings.phases.values():
        for phase in phases:
            data = "sft" if "sample" in phase.method.takes else "items"
            stage = Train(
                phase.method, (number, data), start, of_phase(phase, recipe), f" on {data}"
            )
            start = (number, f"{phase.method.name}-model")
            yield Step(*start, stage)
        if phases:
            yield from _evaluation(recipe, number, phases[-1].method.name, start)
    if settings.grpo:
        yield from _grpo(recipe, number, settings, start)
        yield from _evaluation(recipe, number, "grpo", (number, "grpo-model"))


def _judges(recipe: Recipe, settings: Round) -> list[tuple[JudgeUse, tuple[Model, ...], Asking]]:
    """Each rubric with its models, and how they are asked."""
    found = []
    for use in settings.judge:
        models = [named for name in use.model if (named := recipe.models.named(name))]
        drawn = {f.name: getattr(use, f.name) for f in fields(Draw)}
        seed = use.seed if use.seed is not None or use.k == 1 else recipe.seed
        found.append((use, tuple(models), replace(JUDGING, **{**drawn, "seed": seed})))
    return found


def student(recipe: Recipe, number: int) -> Model | Key:
    """The model after a round: the last one trained so far, or the base."""
    for earlier in range(number, 0, -1):
        settings = recipe.rounds[earlier - 1]
        if settings.grpo:
            return earlier, "grpo-model"
        for phases in reversed(settings.phases.values()):
            if phases:
                return earlier, f"{phases[-1].method.name}-model"
        if settings.sft:
            return earlier, "sft-model"
    return recipe.models.base


def training(settings: T, recipe: Recipe) -> T:
    """A training as its round sets it, with the recipe's seed and prompt."""
    return replace(
        settings,
        settings={"seed": recipe.seed, **settings.settings},
        prompt=recipe.prompts.rollout.prompt(),
    )


def of_phase(phase: Phase | MethodPhase, recipe: Recipe) -> Training:
    """The settings of a training that is not SFT, including GRPO's band of pass rates."""
    if isinstance(phase, Phase):
        return replace(training(phase.train, recipe), difficulty=phase.difficulty)
    of_method: Training = training(phase.train, recipe)
    return of_method


def _items(name: str, number: int, sources: Sequence[Source]) -> Iterator[Step]:
    """One version per source, and one that holds them all if there are several."""
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
    own = [name for name in HELD_OUT if getattr(recipe, name)]
    named = [_benchmark(source) for source in recipe.decontaminate.against]
    others = tuple(
        (0, each) for each in dict.fromkeys([*own, *(n for n in named if n not in HELD_OUT)])
    )
    if not others:
        yield from _items(name, number, sources)
        return
    imported = IMPORTED.format(name)
    yield from _items(imported, number, sources)
    stage = KeepApart((number, imported), others, recipe.decontaminate, tuple(sources))
    yield Step(number, name, stage)


def _validation(sources: Sequence[Source], heldout: bool) -> Iterator[Step]:
    """The validation items, without held-out ones."""
    if not heldout:
        yield from _items("validation", 0, sources)
        return
    imported = IMPORTED.format("validation")
    yield from _items(imported, 0, sources)
    purpose = "items to choose checkpoints by, none of them held out"
    stage = KeepApart((0, imported), ((0, "heldout"),), None, tuple(sources), purpose)
    yield Step(0, "validation", stage)


def _benchmark(source: Source) -> str:
    """A benchmark's name in the workspace."""
    return source.source.removeprefix(IN_WORKSPACE)


def _sampling(recipe: Recipe, number: int, settings: Round) -> Iterator[Step]:
    """Captions, if a teacher reads them and the items have none, and each teacher's samples."""
    models, prompts = recipe.models, recipe.prompts
    items = captions = (number, "items")
    reads = any(teacher.sees == "caption" for teacher in settings.teacher)
    if reads and models.captioner and any(s.kind != "captions" for s in settings.items):
        captions = (number, "captions")
        caption = recipe.asking(settings.captions, prompts.caption)
        yield Step(*captions, Captions(items, models.captioner, caption))
    for teacher in settings.teacher:
        name = "samples" if len(settings.teacher) == 1 else f"samples-{teacher.model}"
        named = models.named(teacher.model)
        model = named if named else student(recipe, number - 1)
        if teacher.sees == "caption" and isinstance(model, Model):
            asking = recipe.asking(settings.reasoning, teacher.prompt or prompts.reasoning)
            yield Step(number, name, Reasoning(captions, model, asking))
        else:
            asking = recipe.asking(settings.rollouts, teacher.prompt or prompts.rollout)
            yield Step(number, name, Rollouts(items, model, asking))


def _grpo(recipe: Recipe, number: int, settings: Round, start: Model | Key) -> Iterator[Step]:
    """The round's GRPO trainings, each from the one before, and the items they need."""
    method, first = find_method("grpo"), start
    for place, phase in enumerate(settings.grpo, 1):
        suffix = "" if len(settings.grpo) == 1 else f"-{place}"
        items = f"grpo-items{suffix}" if phase.items else "items"
        if phase.items:
            yield from _training_items(recipe, items, number, phase.items)
        data = (number, items)
        if phase.rated_by == "rollouts":
            asking = recipe.asking(settings.rollouts, recipe.prompts.rollout)
            drawn, data = (number, f"grpo-samples{suffix}"), (number, f"grpo-rated{suffix}")
            yield Step(*drawn, Rollouts((number, items), first, asking))
            yield Step(*data, Filter((drawn,), ("grade",)))
        elif phase.rated_by:
            # Samples that verification dropped count as well: they show what is hard.
            data = (number if phase.rated_by == "samples" else number - 1), "sft"
        hints = hints_of(phase.train.hints, number)
        stage = Train(method, data, start, of_phase(phase, recipe), of_band(phase), hints)
        start = (number, "grpo-model")
        yield Step(*start, stage)


def _evaluation(recipe: Recipe, number: int, what: str, model: Model | Key) -> Iterator[Step]:
    """The model's accuracy on the held-out items, if there are any."""
    if not recipe.heldout:
        return
    prompt = recipe.prompts.rollout
    if what == "direct" and recipe.prompts.direct:
        prompt = recipe.prompts.direct
    who = {"base": "the base", "direct": "the base, asked directly,"}.get(what, f"{what}-model")
    asking = recipe.asking(recipe.heldout.draw, prompt)
    evaluation = number, f"eval-{what}"
    yield Step(*evaluation, Evaluate((0, "heldout"), model, who, asking))
    if recipe.canary and what != "direct":
        yield from _looks(recipe, recipe.canary, (number, what), Asked(model, who, asking))


@dataclass(frozen=True)
class Asked:
    """A model, its name in messages, and how its ordinary evaluation asks it."""

    model: Model | Key
    who: str
    asking: Asking


def _looks(recipe: Recipe, canary: Canary, of: Key, asked: Asked) -> Iterator[Step]:
    """The model (round, sft or the like) asked with what the canary shows instead of the images."""
    for place, images in enumerate(canary.images):

        def named(key: Key, end: str = f"-{images}" if place else "") -> Key:
            return key[0], f"canary-{key[1]}{end}"

        before = tuple((_eval(key), named(key)) for key in _measured(recipe, of))
        asking = replace(asked.asking, images=images)
        stops = canary.stop and not place
        look = Look(asked.model, _eval(of), asked.who, asking, canary, stops, before)
        yield Step(*named(of), look)


def _eval(key: Key) -> Key:
    return key[0], f"eval-{key[1]}"


def _measured(recipe: Recipe, until: Key) -> Iterator[Key]:
    """(round, what) of the models that are measured before this one."""
    every = [(0, "base")] if recipe.heldout and recipe.heldout.base else []
    for number, settings in enumerate(recipe.rounds[: until[0]], 1):
        between = [phases[-1].method.name for phases in settings.phases.values() if phases]
        trained = [*(["sft"] if settings.sft else []), *between]
        every += [(number, what) for what in (*trained, *(["grpo"] if settings.grpo else []))]
    return takewhile(lambda key: key != until, every)
