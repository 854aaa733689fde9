"""What a recipe may say: its parts as pydantic models, frozen and without room for unknown keys."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from vlt.datagen.asking import Asking, Draw
from vlt.engine.model import Model
from vlt.fields import Option
from vlt.prompts import Prompt


class Part(BaseModel):
    """A part of a recipe: frozen, and without room for unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptText(Part):
    """See vlt.prompts: the slots are {question} and {caption}."""

    user: str
    system: str = ""

    def prompt(self) -> Prompt:
        """As the stages take it."""
        return Prompt(user=self.user, system=self.system)


@dataclass(frozen=True, kw_only=True)
class Draws(Draw):
    """Several samples of each row: the paper's k = 4 unless said otherwise."""

    k: Annotated[int, Ge(1), Option("-k")] = 4
    """Samples of each row."""


def _model_by_name(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


def _servers(value: Any) -> Any:
    """One server may be written without a list."""
    if isinstance(value, dict) and isinstance(value.get("base_url"), str):
        return {**value, "base_url": [value["base_url"]]}
    return value


ModelUse = Annotated[Model, BeforeValidator(_servers), BeforeValidator(_model_by_name)]
"""A model as a recipe writes it: its name, or the fields of vlt.engine.model.Model."""


class Models(Part):
    """The three models of the loop; the students are made from `base`."""

    base: ModelUse
    captioner: ModelUse
    reasoner: ModelUse

    @model_validator(mode="after")
    def _reasoner_reads(self) -> Models:
        if self.reasoner.pixels:
            raise ValueError("the reasoner sees no images, so it takes no pixels")
        return self


class Prompts(Part):
    """The prompts of the three generation stages; rollout also trains and evaluates."""

    caption: PromptText
    reasoning: PromptText
    rollout: PromptText
    direct: PromptText | None = None
    """If given, the base model's answers without reasoning are measured with it, for comparison."""


def _switch(value: Any) -> Any:
    """`on` and `off`, as YAML reads them: the defaults, or nothing."""
    return {} if value is True else None if value is False else value


class Source(Part):
    """Where items come from; `settings` are the source's own."""

    source: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    where: str | None = None
    map: dict[str, str] = {}
    settings: dict[str, Any] = {}


def _source_by_name(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class Decontamination(Part):
    """What is kept out of the training data: see vlt.filters.contamination.decontaminate for the settings.

    The held-out and the validation items are kept out in any case.
    """

    against: list[Annotated[Source, BeforeValidator(_source_by_name)]] = []
    """Benchmarks by name: of the workspace, or imported where it lacks them."""
    ngram: int | None = None
    share: float | None = None
    words: int | None = None
    images: Literal["near", "same", "ignore"] | None = None

    def settings(self) -> dict[str, Any]:
        """What is set of the filter's own settings."""
        return self.model_dump(exclude={"against"}, exclude_none=True)


class Choose(Part):
    """Which of a training's models is kept: the one that is best on the validation items."""

    every: int = Field(ge=1)
    """Optimizer steps from one model that is judged to the next; the last one always is."""


class Stop(Part):
    """When a round no longer helps, the run ends after it.

    Its GRPO model is set beside the round before's on the same held-out items (paired).
    """

    min_gain: float = 0.0
    """Points of accuracy that a round must gain at least."""
    significant: bool = True
    """The 95 % interval of the gain must lie above 0, too."""


class Train(Part):
    """Settings of one training; `settings` are fields of TRL's SFTConfig or GRPOConfig."""

    settings: dict[str, Any] = {}
    freeze: list[Literal["vision_tower", "projector"]] = []
    pixels: dict[Literal["min", "max"], int] = {}
    max_prompt_tokens: int | None = None
    """Rows whose prompt is longer, image tokens included, are left out."""
    lora: dict[str, Any] = {}
    """Train adapters and not the weights: see train.lora."""
    processes: int = Field(1, ge=1)
    """Of this machine, started by accelerate where there is more than one."""
    accelerate: list[str] = []
    """Further arguments of accelerate's launcher; zero2, zero3, fsdp1 or fsdp2 by name."""
    reward: dict[str, float | str] = {}
    """GRPO: see train.rewards; by default the 0/1 accuracy reward."""
    choose: Choose | None = None
    """Keep the best of several steps' models, not the last; needs `validation` items."""


class Phase(Part):
    """One GRPO training of a round; a round may have several, each from the one before (v1.2)."""

    items: list[Source] = []
    """By default the round's own items."""
    difficulty: tuple[float, float] | None = None
    """Only items whose pass rate lies in this band, ends included."""
    rates: Literal["samples", "previous", "rollouts"] | None = None
    """Whose pass rates. samples: the round's own, drawn for SFT (the default without items of its
    own). previous: those of the round before, and its items. rollouts: k new ones of the items by
    the round's SFT model (the default with items of its own)."""
    train: Train = Train()

    @model_validator(mode="after")
    def _rates_of_these_items(self) -> Phase:
        if self.rates and not self.difficulty:
            raise ValueError("rates are for a difficulty band; add difficulty: [low, high]")
        if self.items and self.rates in ("samples", "previous"):
            raise ValueError(
                f"rates: {self.rates} are of a round's own items; leave out the phase's items, or "
                "write rates: rollouts"
            )
        return self

    @property
    def rated_by(self) -> str | None:
        """samples, previous or rollouts; None without a band."""
        if not self.difficulty:
            return None
        return self.rates or ("rollouts" if self.items else "samples")


class Round(Part):
    """What one round adds to, or changes in, the recipe's top level."""

    teacher: Literal["reasoner", "student"]
    """reasoner: captions, then text-only reasoning. student: rollouts of the round before's model."""
    items: list[Source]
    """The questions that SFT data is made of."""
    captions: Draw = Draw()
    reasoning: Draws = Draws()
    rollouts: Draws = Draws()
    filters: list[Any] = []
    sft: Train = Train()
    grpo: list[Phase] = [Phase()]


class Evaluation(Part):
    """How a model is judged on the held-out items, the same for every model of the loop."""

    items: list[Source]
    draw: Draw = Draw()
    base: bool = True
    """Judge the base model as well, before round 1."""


class Recipe(Part):
    """A whole recipe, with the top level's settings filled into every round."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    name: str
    about: str = ""
    seed: int = 0
    models: Models
    prompts: Prompts
    heldout: Evaluation
    validation: Evaluation | None = None
    """Items to choose checkpoints by; none of the held-out ones, which only report."""
    decontaminate: Annotated[Decontamination | None, BeforeValidator(_switch)] = Decontamination()
    stop: Annotated[Stop | None, BeforeValidator(_switch)] = None
    rounds: list[Round] = Field(min_length=1)

    @model_validator(mode="after")
    def _rounds_fit(self) -> Recipe:
        for number, settings in enumerate(self.rounds, 1):
            trains = [settings.sft, *(phase.train for phase in settings.grpo)]
            if any(train.choose for train in trains) and not self.validation:
                raise ValueError("choose needs items to choose by; add validation: {items: ...}")
            if number == 1 and settings.teacher == "student":
                raise ValueError("round 1 has no student yet; its teacher is the reasoner")
            if number == 1 and any(phase.rates == "previous" for phase in settings.grpo):
                raise ValueError("round 1 has no round before it to take pass rates of")
        return self

    def asking(self, draw: Draw, prompt: PromptText) -> Asking:
        """What a stage asks: this draw with this prompt; the seed is the recipe's unless it has one."""
        drawn = {f.name: getattr(draw, f.name) for f in dataclass_fields(Draw)}
        if draw.seed is None:
            drawn["seed"] = self.seed
        return Asking(prompt=prompt.prompt(), **drawn)
