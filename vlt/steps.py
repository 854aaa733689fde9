"""The steps of a recipe: what each stage of a round is made from, and how it is carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from datagen.captions import make_captions
from datagen.mix import make_mix
from datagen.reasoning import make_reasoning
from datagen.rollouts import make_rollouts
from datagen.sources import make_items
from filters.make import make_filtered
from train.grpo import train_grpo
from train.sft import train_sft
from vlt.engine import Engine
from vlt.engine.choose import open_engine
from vlt.errors import UserError
from vlt.evaluate import make_evaluation
from vlt.images import ImageStore
from vlt.journal import Journal
from vlt.recipe import Draw, ModelUse, Phase, Recipe, Round, Source, Train
from vlt.store import Dataset, Store

Made = tuple[Dataset, bool]
"""A version, and whether it was there already."""


@dataclass(frozen=True)
class Step:
    """One step of the plan. Round 0 is what comes before the rounds: held-out items, the base."""

    round: int
    name: str
    what: str
    """One line for people: models and sources."""
    carry_out: Callable[[Run], Made]
    settings: str = ""
    """For the plan: the settings in full."""

    @property
    def key(self) -> tuple[int, str]:
        """Where Run.made keeps the result."""
        return self.round, self.name


@dataclass
class Run:
    """What the steps share: the workspace, the recipe, and the versions made so far."""

    store: Store
    recipe: Recipe
    images: ImageStore
    journal: Journal
    progress: Any = None
    """Passed on to the stages; None shows nothing."""
    made: dict[tuple[int, str], Dataset] = field(default_factory=dict)

    def __getitem__(self, key: tuple[int, str]) -> Dataset:
        return self.made[key]

    def asking(self, use: ModelUse) -> dict[str, Any]:
        """The arguments with which a generation stage asks this model."""
        return {
            "model": use.model,
            "revision": use.revision,
            "engine": self._engine(use),
            "journal": self.journal,
            "progress": self.progress,
        }

    def student(self, checkpoint: Dataset) -> ModelUse:
        """A checkpoint of ours as a model: it is asked in the way that the base is."""
        base = self.recipe.models.base
        return base.model_copy(update={"model": str(checkpoint.path), "revision": None})

    def _engine(self, use: ModelUse) -> Callable[[], Engine]:
        return lambda: open_engine(
            use.model,
            engine=use.engine,
            base_urls=use.base_url,
            revision=use.revision,
            concurrency=use.concurrency,
            load_image=self.images.read,
        )


IN_WORKSPACE = "workspace:"
"""A source that begins so is a dataset of items that the workspace already holds."""


def before(recipe: Recipe) -> Iterator[Step]:
    heldout = recipe.heldout
    yield from _items("heldout", 0, heldout.items)
    if heldout.base:
        yield _evaluation(recipe, 0, "base", lambda run: run.recipe.models.base)
    if heldout.base and recipe.prompts.direct:
        yield _evaluation(recipe, 0, "direct", lambda run: run.recipe.models.base)


def round_steps(recipe: Recipe, number: int, settings: Round) -> Iterator[Step]:
    prompts = recipe.prompts
    yield from _items("items", number, settings.items)
    if settings.teacher == "reasoner":
        yield Step(
            number,
            "captions",
            f"{recipe.models.captioner.model}, {_draw(settings.captions)}",
            lambda run: make_captions(
                run.store,
                run[number, "items"],
                **run.asking(recipe.models.captioner),
                prompt=prompts.caption.prompt(),
                sampling=settings.captions.sampling(recipe.seed),
                name="captions",
                round=number,
            ),
        )
        yield Step(
            number,
            "samples",
            f"{recipe.models.reasoner.model} on captions, {_draw(settings.reasoning)}",
            lambda run: make_reasoning(
                run.store,
                run[number, "captions"],
                **run.asking(recipe.models.reasoner),
                prompt=prompts.reasoning.prompt(),
                sampling=settings.reasoning.sampling(recipe.seed),
                k=settings.reasoning.k,
                name="samples",
                round=number,
            ),
        )
    else:
        yield Step(
            number,
            "samples",
            f"round {number - 1}'s grpo-model on images, {_draw(settings.rollouts)}",
            lambda run: make_rollouts(
                run.store,
                run[number, "items"],
                **run.asking(run.student(run[number - 1, "grpo-model"])),
                prompt=prompts.rollout.prompt(),
                sampling=settings.rollouts.sampling(recipe.seed),
                k=settings.rollouts.k,
                name="samples",
                round=number,
            ),
        )
    yield Step(
        number,
        "sft",
        ", ".join(_filter_text(f) for f in settings.filters) or "no filters",
        lambda run: make_filtered(
            run.store,
            run[number, "samples"],
            chain=settings.filters,
            name="sft",
            round=number,
        ),
    )
    yield Step(
        number,
        "sft-model",
        f"from the base, {recipe.models.base.model}",
        lambda run: _train_from_base(run, number, settings.sft),
        _train(settings.sft),
    )
    yield _evaluation(recipe, number, "sft", lambda run: run.student(run[number, "sft-model"]))
    start = "sft-model"
    for place, phase in enumerate(settings.grpo):
        yield from _grpo(recipe, number, phase, place, len(settings.grpo), start)
        start = "grpo-model"
    yield _evaluation(recipe, number, "grpo", lambda run: run.student(run[number, "grpo-model"]))


def _grpo(
    recipe: Recipe, number: int, phase: Phase, place: int, phases: int, start: str
) -> Iterator[Step]:
    # Pass rates come from verified samples; those that were dropped count, too.
    items = "sft" if phase.difficulty else "items"
    if phase.items:
        items = "grpo-items" if phases == 1 else f"grpo-items-{place + 1}"
        yield from _items(items, number, phase.items)
    band = f", pass rate {phase.difficulty[0]}-{phase.difficulty[1]}" if phase.difficulty else ""
    yield Step(
        number,
        "grpo-model",
        f"from the round's {start}{band}",
        lambda run: train_grpo(
            run.store,
            run[number, items],
            model=str(run[number, start].path),
            difficulty=phase.difficulty,
            reward=phase.train.reward,
            **_training(phase.train, recipe),
            name="grpo-model",
            round=number,
            progress=run.progress,
        ),
        _train(phase.train),
    )


def _evaluation(recipe: Recipe, number: int, what: str, model: Callable[[Run], ModelUse]) -> Step:
    draw = recipe.heldout.draw
    prompt = recipe.prompts.rollout
    if what == "direct" and recipe.prompts.direct:
        prompt = recipe.prompts.direct
    who = {"base": "the base", "direct": "the base, asked directly,"}.get(what, f"{what}-model")
    return Step(
        number,
        f"eval-{what}",
        f"{who} on held-out items, {_draw(draw)}",
        lambda run: make_evaluation(
            run.store,
            run[0, "heldout"],
            **run.asking(model(run)),
            prompt=prompt.prompt(),
            sampling=draw.sampling(recipe.seed),
            k=draw.k,
            name=f"eval-{what}",
            round=number or None,
        ),
    )


def _items(name: str, number: int, sources: list[Source]) -> Iterator[Step]:
    """One version per source, and one that holds them all where there are several."""
    names = [name] if len(sources) == 1 else [f"{name}-{i + 1}" for i in range(len(sources))]
    for part, source in zip(names, sources, strict=True):
        yield Step(number, part, _source(source), _import_step(part, number, source))
    if len(sources) > 1:
        yield Step(
            number,
            name,
            f"the {len(sources)} sources together",
            lambda run: make_mix(
                run.store, [run[number, part] for part in names], name=name, round=number or None
            ),
        )


def _import_step(name: str, number: int, source: Source) -> Callable[[Run], Made]:
    if source.source.startswith(IN_WORKSPACE):
        return lambda run: make_mix(
            run.store,
            [run.store.open(source.source.removeprefix(IN_WORKSPACE))],
            sample=source.sample,
            seed=source.seed,
            name=name,
            round=number or None,
        )
    return lambda run: make_items(
        run.store,
        source.source,
        mapping=source.map or None,
        limit=source.limit,
        sample=source.sample,
        seed=source.seed,
        where=source.where,
        split=source.split,
        config=source.config,
        revision=source.revision,
        source_settings=source.settings,
        images=run.images,
        name=name,
        round=number or None,
    )


def _training(train: Train, recipe: Recipe) -> dict[str, Any]:
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


def _train_from_base(run: Run, number: int, train: Train) -> Made:
    """SFT starts from the base in every round (paper, section 4.4), and that is asserted."""
    use = run.recipe.models.base
    made = train_sft(
        run.store,
        run[number, "sft"],
        model=use.model,
        revision=use.revision,
        **_training(train, run.recipe),
        name="sft-model",
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


def _draw(draw: Draw) -> str:
    k = f"k = {draw.k}, " if draw.k > 1 else ""
    return f"{k}temperature {draw.temperature:g}, at most {draw.max_tokens} tokens"


def _source(source: Source) -> str:
    amount = source.limit or source.sample or source.settings.get("n")
    parts = [source.source, source.split, f"{amount:,} items" if amount else "all items"]
    return ", ".join(part for part in parts if part)


def _train(train: Train) -> str:
    frozen = [f"frozen: {' and '.join(train.freeze)}"] if train.freeze else []
    return ", ".join([*frozen, *(f"{key} {value}" for key, value in train.settings.items())])


def _filter_text(filter: Any) -> str:
    if isinstance(filter, dict):
        return ", ".join(f"{name} {value}" for name, value in filter.items())
    return str(filter)
