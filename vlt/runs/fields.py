"""What a recipe may say: its parts as pydantic models, frozen and without room for unknown keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from vlt.images.pixels import Pixels
from vlt.prompts import Prompt
from vlt.request import Sampling
from vlt.train.methods.grpo import GrpoTraining
from vlt.train.settings import Training

Scalar = str | int | float | bool | None


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


class Draw(Part):
    """Sampling parameters and the number of samples of a generation stage."""

    k: int = Field(1, ge=1)
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int | None = None
    max_tokens: int = Field(2048, ge=1)
    extra: dict[str, Scalar] = {}

    def sampling(self, seed: int) -> Sampling:
        """As the engines take it; `seed` is the recipe's."""
        fields = self.model_dump(exclude={"k"})
        return Sampling(seed=seed, **fields)


class Draws(Draw):
    """Several samples of each row: the paper's k = 4 unless said otherwise."""

    k: int = Field(4, ge=1)


class ModelUse(Part):
    """A model and how to reach it; `model`, `revision` and `pixels` are a row's identity."""

    model: str
    """A model's name, or a directory; ./ is the recipe's own folder."""
    revision: str | None = None
    engine: str | None = None
    """openai, local, ...; by default openai with a base_url, else local for a directory."""
    base_url: list[str] = []
    concurrency: int | None = None
    pixels: Annotated[str, AfterValidator(lambda v: str(Pixels.parse(v)))] | None = None
    """MIN:MAX: the range that images are brought into before the model sees them."""


class Models(Part):
    """The three models of the loop; the students are made from `base`."""

    base: Annotated[ModelUse, BeforeValidator(lambda v: {"model": v} if isinstance(v, str) else v)]
    captioner: Annotated[
        ModelUse, BeforeValidator(lambda v: {"model": v} if isinstance(v, str) else v)
    ]
    reasoner: Annotated[
        ModelUse, BeforeValidator(lambda v: {"model": v} if isinstance(v, str) else v)
    ]

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


class Stop(Part):
    """When a round no longer helps, the run ends after it.

    Its GRPO model is set beside the round before's on the same held-out items (paired).
    """

    min_gain: float = 0.0
    """Points of accuracy that a round must gain at least."""
    significant: bool = True
    """The 95 % interval of the gain must lie above 0, too."""


def _of_a_recipe(train: Training) -> Training:
    if train.prompt:
        raise ValueError("a training's prompt is the recipe's prompts.rollout; set it there")
    if getattr(train, "difficulty", None):
        raise ValueError("difficulty is of the phase; write it beside train")
    return train


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
    train: Annotated[GrpoTraining, AfterValidator(_of_a_recipe)] = GrpoTraining()

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
    sft: Annotated[Training, AfterValidator(_of_a_recipe)] = Training()
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
