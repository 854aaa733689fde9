"""What a recipe may say: its parts as pydantic models, frozen and without room for unknown keys."""

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
from vlt.runs.phases import TOLD, MethodPhase, has_phases, method_phases, of_a_recipe, switched
from vlt.train.method import Method
from vlt.train.methods.grpo import GrpoTraining
from vlt.train.settings import Training

IN_WORKSPACE = "workspace:"
"""A source that begins so is a dataset of items that the workspace already holds."""
ARM = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class Part(BaseModel):
    """A part of a recipe: frozen, and without room for unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourcePrompt(Part):
    """What the rows of one source are asked, or of all: a text, or a mapping."""

    written: ClassVar[Written] = Written(("string",))

    user: str
    """The text, with the slots {question} and {caption}; or a function of your own: file.py:name."""
    system: str = ""
    """The system text. [none]"""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"user": value} if isinstance(value, str) else value

    def prompt(self) -> Prompt:
        """As the stages take it."""
        if is_path(self.user):
            return own_prompt(self.user, self.system)
        return Prompt(user=self.user, system=self.system)


class PromptText(SourcePrompt):
    """A prompt: what every row is asked, and what those of single sources are asked instead."""

    by_source: dict[str, SourcePrompt] = {}
    """Other prompts for the rows of these sources (their column `source`)."""

    @classmethod
    def of(cls, prompt: Prompt) -> PromptText:
        """As a recipe would write it."""
        return cls(user=prompt.user, system=prompt.system)

    def prompt(self) -> Prompt:
        """As the stages take it."""
        others = {name: other.prompt() for name, other in self.by_source.items()}
        return replace(super().prompt(), by_source=others)


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


ModelUse = Annotated[
    Model, TOLD, BeforeValidator(_servers), BeforeValidator(_model_by_name), Written(("string",))
]
"""A model as a recipe writes it: its name, or the fields of vlt.engine.model.Model."""


class Models(Part):
    """The models by name: those that the loop knows, and teachers under any other name."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, ModelUse] = Field(init=False)

    base: ModelUse
    """The students are made from it."""
    captioner: ModelUse | None = None
    """Describes the images, for teachers that see captions."""
    reasoner: ModelUse | None = None
    """The teacher that reasons over captions: it reads only text."""

    def named(self, name: str) -> Model | None:
        """The model of this name."""
        return getattr(self, name, None) if name in self.names else None

    @property
    def names(self) -> list[str]:
        """All names that are given."""
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
    """Asks for a caption. [the paper's]"""
    reasoning: PromptText = PromptText.of(REASONING)
    """Asks those who read the caption."""
    rollout: PromptText = PromptText.of(ROLLOUT)
    """Asks those who see the image; also in training and evaluation. [the paper's]"""
    direct: PromptText | None = None
    """If given, the base model's answers without reasoning are measured with it, for comparison."""


class Teacher(Part):
    """Who writes a round's samples, and what of the image it is given."""

    written: ClassVar[Written] = Written(("string",))

    model: str
    """A name of `models`, or student: the last model of the round before."""
    sees: Annotated[Literal["image", "caption"], Written(optional=True)]
    """caption: text only, the caption in the image's place. [caption for reasoner, else image]"""
    prompt: PromptText | None = None
    """By default prompts.rollout for the image, prompts.reasoning for the caption."""


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


Source = Annotated[Import, TOLD]
"""Where items come from, as `vlt import` takes it."""


def _source_by_name(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class Decontamination(Part):
    """What is kept out of the training data: see vlt.filters.contamination.decontaminate for the settings.

    The held-out and the validation items are kept out in any case.
    """

    against: list[Annotated[Source, BeforeValidator(_source_by_name), Written(("string",))]] = []
    """Benchmarks by name: of the workspace, or imported where it lacks them."""
    ngram: int | None = None
    """Words in a row that two questions share. [the filter's]"""
    share: float | None = None
    """Of an item's n-grams that another one has. [the filter's]"""
    words: int | None = None
    """Words from which on n-grams are compared. [the filter's]"""
    images: Literal["near", "same", "ignore"] | None = None
    """Which images count as one. [the filter's]"""

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


class Phase(Part):
    """One GRPO training of a round; a round may have several, each from the one before (v1.2)."""

    items: list[Source] = []
    """By default the round's own items."""
    difficulty: tuple[float, float] | None = None
    """Only items whose pass rate lies in this band, ends included."""
    rates: Literal["samples", "previous", "rollouts"] | None = None
    """Whose pass rates. samples: the round's own, drawn for SFT (the default without items of its
    own). previous: those of the round before, and its items. rollouts: k new ones of the items by
    the round's SFT model (the default with items of its own, and with hints)."""
    train: Annotated[GrpoTraining, TOLD, AfterValidator(of_a_recipe)] = GrpoTraining()
    """How it is trained."""

    @property
    def rated_by(self) -> str | None:
        """samples, previous or rollouts; None without a band and without hints."""
        if not self.difficulty and not self.train.hints:
            return None
        new = self.items or self.train.hints
        return self.rates or ("rollouts" if new else "samples")


class Round(Part):
    """What one round adds to, or changes in, the recipe's top level."""

    teacher: Annotated[
        list[Teacher], BeforeValidator(_teachers), Written(("string", "boolean", "null"), one=True)
    ] = []
    """Who writes the samples: reasoner (captions, then text-only reasoning), student (rollouts of the
    round before's model), a model of `models` (which sees the image unless `sees: caption`), or
    several. Without one nothing is written, and the round is RL alone."""
    items: list[Source]
    """The questions of the round; with `kind: captions` they bring their captions."""
    captions: Annotated[Draw, TOLD] = Draw()
    """How captions are drawn."""
    reasoning: Annotated[Draws, TOLD] = Draws()
    """How samples are drawn of teachers that read captions."""
    rollouts: Annotated[Draws, TOLD] = Draws()
    """How samples are drawn of teachers that see images, the student among them."""
    judge: Annotated[
        list[Annotated[JudgeUse, TOLD]],
        BeforeValidator(_listed),
        Written(("boolean", "null"), one=True),
    ] = []
    """Models that judge the samples by rubrics, before they are filtered. [none]"""
    filters: list[Any] = []
    """What of the samples is trained on: a chain of filters, as in `vlt filter --chain`."""
    sft: Annotated[
        Annotated[Training, TOLD, AfterValidator(of_a_recipe)] | None,
        BeforeValidator(_switch),
        Written(SWITCH),
    ] = None
    """SFT from the base on what the filters leave. [none]"""
    phases: dict[str, list[InstanceOf[MethodPhase]]] = {}
    """Trainings between SFT and GRPO. A recipe lists them under their method: `dpo: [{train: ...}]`."""
    grpo: Annotated[list[Phase], BeforeValidator(switched), Written(SWITCH)] = []
    """GRPO trainings, each from the one before. [none]"""

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
    """How a model is judged on the held-out items, the same for every model of the loop."""

    items: list[Source]
    """Items that no model is trained on."""
    draw: Annotated[Draw, TOLD] = Draw()
    """How the answers are drawn."""
    base: bool = True
    """Judge the base model as well, before round 1."""


def _address(given: str | None) -> str | None:
    try:
        return given and check_address(given)
    except UsageError as error:  # with the recipe's line
        raise ValueError(str(error)) from error


class Recipe(Part):
    """A whole recipe, with the top level's settings filled into every round."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    name: str
    """Of the recipe: what `vlt status` calls its runs."""
    about: str = ""
    """What it is for, for people."""
    seed: int = 0
    """Of sampling and training, where they have none of their own."""
    models: Models
    """The models by name."""
    cluster: Annotated[str | None, AfterValidator(_address)] = None
    """The Ray cluster to work on: auto, local or HOST:PORT; --ray goes before it. [VLT_RAY]"""
    prompts: Prompts = Prompts()
    """What models are asked with. [the paper's prompts]"""
    heldout: Evaluation | None = None
    """Items that no model is trained on: without them nothing is measured."""
    validation: Evaluation | None = None
    """Items to choose checkpoints by; none of the held-out ones, which only report."""
    decontaminate: Annotated[Decontamination | None, BeforeValidator(_switch), Written(SWITCH)] = (
        Decontamination()
    )
    """Keep what the held-out items and benchmarks ask out of the training data; `off`: do not."""
    stop: Annotated[Stop | None, BeforeValidator(_switch), Written(SWITCH)] = None
    """End the run after a round that no longer helps. [no]"""
    canary: Annotated[Canary | None, TOLD, BeforeValidator(_switch), Written(SWITCH)] = None
    """Ask each model a part of the held-out items with another item's image, and stop where it does no
    worse; on: the defaults."""
    arms: dict[str, dict[str, Any]] = {}
    """Variants of the recipe by name: what differs, in keys of the recipe; `each_round` holds keys of
    every round. See vlt.runs.arms."""
    rounds: list[Round] = Field(min_length=1)
    """One round after the other; a round repeats only what it changes of the top level."""

    def asking(self, draw: Draw, prompt: PromptText) -> Asking:
        """What a stage asks: this draw with this prompt; the seed is the recipe's unless it has one."""
        drawn = {f.name: getattr(draw, f.name) for f in dataclass_fields(Draw)}
        if draw.seed is None:
            drawn["seed"] = self.seed
        return Asking(prompt=prompt.prompt(), **drawn)
