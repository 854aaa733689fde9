"""What a recipe may contain: its parts as pydantic models, frozen and without unknown keys."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    model_validator,
)

from vlt.cluster.address import check_address
from vlt.datagen.asking import Asking, Draw
from vlt.datagen.import_settings import Import
from vlt.datagen.paper_prompts import CAPTION, REASONING, ROLLOUT
from vlt.engine.model import Model
from vlt.errors import UsageError
from vlt.evaluation.canary import Canary
from vlt.fields import Option, Written
from vlt.plugins import is_path
from vlt.prompts import Prompt, own_prompt
from vlt.runs.judge_use import JudgeUse
from vlt.runs.phases import AS_FAULT, MethodPhase, has_phases, method_phases, of_a_recipe, switched
from vlt.train.method import Method
from vlt.train.methods.grpo import GrpoTraining
from vlt.train.settings import Training

IN_WORKSPACE = "workspace:"
"""Prefix of a source that is a dataset of items in the workspace."""
ARM = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class Part(BaseModel):
    """A part of a recipe: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourcePrompt(Part):
    """The prompt for the rows of one source, or of all: a text, or a mapping."""

    written: ClassVar[Written] = Written(("string",))

    user: str
    """The text, with the slots {question} and {caption}; or a function of your own: file.py:name."""
    system: str = ""
    """The system prompt. [none]"""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"user": value} if isinstance(value, str) else value

    def prompt(self) -> Prompt:
        """As the stages need it."""
        if is_path(self.user):
            return own_prompt(self.user, self.system)
        return Prompt(user=self.user, system=self.system)


class PromptText(SourcePrompt):
    """A prompt for every row, with other prompts for the rows of some sources."""

    by_source: dict[str, SourcePrompt] = {}
    """Other prompts for the rows of these sources (their column `source`)."""

    @classmethod
    def of(cls, prompt: Prompt) -> PromptText:
        """As a recipe would write it."""
        return cls(user=prompt.user, system=prompt.system)

    def prompt(self) -> Prompt:
        """As the stages need it."""
        others = {name: other.prompt() for name, other in self.by_source.items()}
        return replace(super().prompt(), by_source=others)


@dataclass(frozen=True, kw_only=True)
class Draws(Draw):
    """Several samples of each row: by default the paper's k = 4."""

    k: Annotated[int, Ge(1), Option("-k")] = 4
    """Samples of each row."""


def _model_by_name(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


def _servers(value: Any) -> Any:
    """One server may be written without a list."""
    if isinstance(value, dict) and isinstance(value.get("base_url"), str):
        return {**value, "base_url": [value["base_url"]]}
    return value


ModelUse = Annotated[
    Model,
    AS_FAULT,
    BeforeValidator(_servers),
    BeforeValidator(_model_by_name),
    Written(("string",)),
]
"""A model as a recipe writes it: its name, or the fields of vlt.engine.model.Model."""


class Models(Part):
    """The models by name: the loop's own roles, and teachers under any other name."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, ModelUse] = Field(init=False)

    base: ModelUse
    """The model that students are trained from."""
    captioner: ModelUse | None = None
    """Describes the images, for teachers that see captions."""
    reasoner: ModelUse | None = None
    """The text-only teacher that reasons over captions."""

    def named(self, name: str) -> Model | None:
        """The model of this name."""
        return getattr(self, name, None) if name in self.names else None

    @property
    def names(self) -> list[str]:
        """All names given."""
        loop = [n for n in ("base", "captioner", "reasoner") if getattr(self, n)]
        return [*loop, *(self.__pydantic_extra__ or {})]

    @model_validator(mode="after")
    def _reasoner_reads(self) -> Models:
        if self.reasoner and self.reasoner.pixels:
            raise ValueError("the reasoner sees no images, so it takes no pixels")
        return self


class Prompts(Part):
    """The prompts of the three generation stages; rollout also trains and evaluates."""

    caption: PromptText = PromptText.of(CAPTION)
    """For captions. [the paper's]"""
    reasoning: PromptText = PromptText.of(REASONING)
    """For teachers that read the caption."""
    rollout: PromptText = PromptText.of(ROLLOUT)
    """For models that see the image; also in training and evaluation. [the paper's]"""
    direct: PromptText | None = None
    """If given, the base model is also evaluated with this prompt, answering without reasoning."""


class Teacher(Part):
    """A model that writes a round's samples, and whether it sees the image."""

    written: ClassVar[Written] = Written(("string",))

    model: str
    """A name of `models`, or student: the last model of the previous round."""
    sees: Annotated[Literal["image", "caption"], Written(optional=True)]
    """caption: text only, with the caption instead of the image. [caption for reasoner, else image]"""
    prompt: PromptText | None = None
    """Its prompt. [prompts.rollout if it sees the image, else prompts.reasoning]"""


def _teachers(value: Any) -> Any:
    """One teacher or several, each by its name or as a mapping; `off` is none."""
    return [_teacher(one) for one in _listed(value)]


def _teacher(value: Any) -> Any:
    if isinstance(value, str):
        value = {"model": value}
    if isinstance(value, dict) and "sees" not in value:
        return {**value, "sees": "caption" if value.get("model") == "reasoner" else "image"}
    return value


def _listed(value: Any) -> Any:
    """One or several; `off` is none."""
    if value is None or value is False:
        return []
    return value if isinstance(value, list) else [value]


SWITCH = ("boolean", "null")
"""`on` and `off`."""


def _switch(value: Any) -> Any:
    """`on` and `off`, as YAML reads them: the defaults, or nothing."""
    return {} if value is True else None if value is False else value


Source = Annotated[Import, AS_FAULT]
"""Where items come from, as `vlt import` takes it."""


def _source_by_name(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class Decontamination(Part):
    """What to keep out of the training data: see vlt.filters.contamination.decontaminate for the settings.

    Held-out and validation items are always kept out.
    """

    against: list[Annotated[Source, BeforeValidator(_source_by_name), Written(("string",))]] = []
    """Benchmarks by name; those not in the workspace are imported."""
    ngram: int | None = None
    """Words in an n-gram. [the filter's]"""
    share: float | None = None
    """Minimum share of a question's n-grams that occur in benchmark questions. [the filter's]"""
    words: int | None = None
    """Minimum words of a question with images to match by text alone. [the filter's]"""
    images: Literal["near", "same", "ignore"] | None = None
    """Which images count as the same. [the filter's]"""

    def settings(self) -> dict[str, Any]:
        """The filter's settings that are given."""
        return self.model_dump(exclude={"against"}, exclude_none=True)


class Stop(Part):
    """Stop the run after a round that no longer helps.

    Its last model is compared with the previous round's on the same held-out items (paired).
    """

    min_gain: float = 0.0
    """Minimum gain of a round, in points of accuracy."""
    significant: bool = True
    """The 95 % interval of the gain must also be above 0."""


class Phase(Part):
    """One GRPO training of a round; a round may have several, each starting from the one before (v1.2)."""

    items: list[Source] = []
    """The items to train on. [the round's]"""
    difficulty: tuple[float, float] | None = None
    """Train only on items whose pass rate is in this band, ends included."""
    rates: Literal["samples", "previous", "rollouts"] | None = None
    """What pass rates are computed from. samples: the round's samples, drawn for SFT (the default without
    `items`). previous: the previous round's samples, and its items. rollouts: k new samples of the
    items by the round's SFT model (the default with `items`, and with hints)."""
    train: Annotated[GrpoTraining, AS_FAULT, AfterValidator(of_a_recipe)] = GrpoTraining()
    """The training settings."""

    @property
    def rated_by(self) -> str | None:
        """samples, previous or rollouts; None without a band and without hints."""
        if not self.difficulty and not self.train.hints:
            return None
        new = self.items or self.train.hints
        return self.rates or ("rollouts" if new else "samples")


class Round(Part):
    """What one round adds to or changes in the recipe's top level."""

    teacher: Annotated[
        list[Teacher], BeforeValidator(_teachers), Written(("string", "boolean", "null"), one=True)
    ] = []
    """What writes the samples: reasoner (captions, then text-only reasoning), student (rollouts of the
    previous round's model), a model of `models` (which sees the image unless `sees: caption`), or
    several. Without a teacher there are no samples, and the round is RL only."""
    items: list[Source]
    """The questions of the round; with `kind: captions` they come with captions."""
    captions: Annotated[Draw, AS_FAULT] = Draw()
    """How captions are sampled."""
    reasoning: Annotated[Draws, AS_FAULT] = Draws()
    """How teachers that read captions are sampled."""
    rollouts: Annotated[Draws, AS_FAULT] = Draws()
    """How teachers that see images are sampled, the student among them."""
    judge: Annotated[
        list[Annotated[JudgeUse, AS_FAULT]],
        BeforeValidator(_listed),
        Written(("boolean", "null"), one=True),
    ] = []
    """Models that judge the samples by rubrics, before they are filtered. [none]"""
    filters: list[Any] = []
    """Which samples are trained on: a chain of filters, as in `vlt filter --chain`."""
    sft: Annotated[
        Annotated[Training, AS_FAULT, AfterValidator(of_a_recipe)] | None,
        BeforeValidator(_switch),
        Written(SWITCH),
    ] = None
    """SFT of the base model on what the filters keep. [none]"""
    phases: dict[str, list[InstanceOf[MethodPhase]]] = {}
    """Trainings between SFT and GRPO. A recipe lists them under their method: `dpo: [{train: ...}]`."""
    grpo: Annotated[list[Phase], BeforeValidator(switched), Written(SWITCH)] = []
    """GRPO trainings, each starting from the one before. [none]"""

    def of_method(self, method: Method) -> list[MethodPhase]:
        """The trainings by a method that is neither SFT nor GRPO."""
        every = [phase for phases in self.phases.values() for phase in phases]
        return [phase for phase in every if phase.method.name == method.name]

    @model_validator(mode="before")
    @classmethod
    def _by_method(cls, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        listed = {k: v for k, v in tree.items() if k not in cls.model_fields and has_phases(k)}
        rest = {k: v for k, v in tree.items() if k not in listed}
        return {**rest, "phases": {k: method_phases(k, v) for k, v in listed.items()}}


class Evaluation(Part):
    """How models are evaluated, the same for every model of the loop."""

    items: list[Source]
    """Items that no model is trained on."""
    draw: Annotated[Draw, AS_FAULT] = Draw()
    """How answers are sampled."""
    base: bool = True
    """Evaluate the base model as well, before round 1."""


def _address(given: str | None) -> str | None:
    try:
        return given and check_address(given)
    except UsageError as error:  # with the recipe's line
        raise ValueError(str(error)) from error


class Recipe(Part):
    """A whole recipe, with the top level's settings merged into every round."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    name: str
    """Name of the recipe, and of its runs in `vlt status`."""
    about: str = ""
    """What it is for, in a sentence."""
    seed: int = 0
    """Seed of sampling and training, unless they set their own."""
    models: Models
    """The models by name."""
    cluster: Annotated[str | None, AfterValidator(_address)] = None
    """The Ray cluster to use: auto, local or HOST:PORT; --ray overrides it. [VLT_RAY]"""
    prompts: Prompts = Prompts()
    """The prompts. [the paper's]"""
    heldout: Evaluation | None = None
    """Items that no model is trained on; without them accuracy is not measured."""
    validation: Evaluation | None = None
    """Items to choose checkpoints by; held-out items are kept out of them, and serve only to report."""
    decontaminate: Annotated[Decontamination | None, BeforeValidator(_switch), Written(SWITCH)] = (
        Decontamination()
    )
    """Keep items that overlap with held-out items and benchmarks out of the training data; `off`: do not."""
    stop: Annotated[Stop | None, BeforeValidator(_switch), Written(SWITCH)] = None
    """Stop the run after a round that no longer helps. [no]"""
    canary: Annotated[Canary | None, AS_FAULT, BeforeValidator(_switch), Written(SWITCH)] = None
    """Ask each model some of the held-out items with another item's image, and stop if it does no worse;
    on: the defaults."""
    arms: dict[str, dict[str, Any]] = {}
    """Variants of the recipe by name: the keys that differ; `each_round` holds keys for every round. See
    vlt.runs.arms."""
    rounds: list[Round] = Field(min_length=1)
    """The rounds in order; a round contains only what differs from the top level."""

    def asking(self, draw: Draw, prompt: PromptText) -> Asking:
        """A stage's asking: this draw with this prompt; the seed is the recipe's unless the draw has one."""
        drawn = {f.name: getattr(draw, f.name) for f in dataclass_fields(Draw)}
        if draw.seed is None:
            drawn["seed"] = self.seed
        return Asking(prompt=prompt.prompt(), **drawn)
