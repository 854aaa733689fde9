"""What steps do: each is a record of its inputs and settings that describes itself and can be run.

A new kind of step is a new record here, and a line in vlt.runs.plan that places it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlt.datagen.asking import Asking, Draw
from vlt.datagen.captions import make_captions
from vlt.datagen.mix import make_mix
from vlt.datagen.reasoning import make_reasoning
from vlt.datagen.rollouts import make_rollouts
from vlt.datagen.sources import make_items
from vlt.engine.model import Model
from vlt.errors import UserError
from vlt.evaluation.evaluate import make_evaluation
from vlt.filters.apply import make_filtered
from vlt.runs.describe import of_draw, of_filter, of_kept_out, of_source, of_train
from vlt.runs.fields import IN_WORKSPACE, Decontamination, Source
from vlt.runs.step import Key, Made, OneLine, Run, Step
from vlt.train.method import Method
from vlt.train.methods.grpo import GrpoTraining
from vlt.train.selection import Chooser
from vlt.train.settings import Training
from vlt.train.training import train


@dataclass(frozen=True)
class Import(OneLine):
    """Items of one source."""

    source: Source
    prepared: bool = False
    """Any version of this name in the workspace will do, whatever it was made from."""
    purpose: str = ""
    """Why it is imported, if its name does not say so."""

    @property
    def inputs(self) -> tuple[Key, ...]:
        """None: it comes from outside."""
        return ()

    @property
    def what(self) -> str:
        """geometry3k, train, 500 items"""
        return of_source(self.source) + (f", {self.purpose}" if self.purpose else "")

    @property
    def says(self) -> str | None:
        """The source, with all its settings."""
        return json.dumps([self.source.as_json()], sort_keys=True)

    def carry_out(self, run: Run, step: Step) -> Made:
        """Use a version of the workspace, or make one from the source."""
        if self.prepared and (there := run.workspace.versions(step.dataset)):
            return there[-1], True
        s = self.source
        if s.source.startswith(IN_WORKSPACE):
            return make_mix(
                run.workspace,
                [run.workspace.open(s.source.removeprefix(IN_WORKSPACE))],
                sample=s.sample,
                seed=s.seed,
                name=step.dataset,
                round=step.of_round,
            )
        return make_items(
            run.workspace,
            self.source,
            images=run.workspace.images,
            name=step.dataset,
            round=step.of_round,
        )


@dataclass(frozen=True)
class Mix(OneLine):
    """The items of several sources together."""

    inputs: tuple[Key, ...]
    sources: tuple[Source, ...]

    @property
    def what(self) -> str:
        """the 2 sources together"""
        return f"the {len(self.inputs)} sources together"

    @property
    def says(self) -> str | None:
        """The sources, with all their settings."""
        return json.dumps([source.as_json() for source in self.sources], sort_keys=True)

    def carry_out(self, run: Run, step: Step) -> Made:
        """Mix the items; one that several sources have is included once."""
        return make_mix(
            run.workspace, [run[key] for key in self.inputs], name=step.dataset, round=step.of_round
        )


@dataclass(frozen=True)
class KeepApart(OneLine):
    """Items without those that overlap with others."""

    items: Key
    others: tuple[Key, ...]
    decontamination: Decontamination | None
    """The filter's settings; None: its defaults."""
    sources: tuple[Source, ...]
    purpose: str = ""

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The items, then those they must not overlap with."""
        return (self.items, *self.others)

    @property
    def what(self) -> str:
        """decontaminated against heldout and mathvista"""
        names = [name for _, name in self.others]
        return self.purpose or of_kept_out(self.decontamination or Decontamination(), names)

    @property
    def says(self) -> str | None:
        """The items' sources; the others are the same for all rounds."""
        return json.dumps([source.as_json() for source in self.sources], sort_keys=True)

    def carry_out(self, run: Run, step: Step) -> Made:
        """Raises UserError if nothing would be left."""
        settings = self.decontamination.settings() if self.decontamination else {}
        refs = [run[key].ref for key in self.others]
        made, existed = make_filtered(
            run.workspace,
            run[self.items],
            chain=[{"decontaminate": {"against": refs, **settings}}],
            name=step.dataset,
            round=step.of_round,
        )
        if not made.manifest.rows:
            raise UserError(
                f"every item of {run[self.items].ref} overlaps with {' or '.join(refs)} "
                f"(`vlt show {made.ref} --dropped` says where); choose other items"
            )
        return made, existed


@dataclass(frozen=True)
class Captions(OneLine):
    """Captions of items, by a VLM."""

    items: Key
    model: Model
    asking: Asking

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The items."""
        return (self.items,)

    @property
    def what(self) -> str:
        """Qwen/Qwen2.5-VL-3B-Instruct, temperature 0, at most 1024 tokens"""
        return f"{self.model.model}, {of_draw(self.asking)}"

    def carry_out(self, run: Run, step: Step) -> Made:
        """By vlt.datagen.captions."""
        made_of = run[self.items]
        return make_captions(
            run.workspace, made_of, self.model, self.asking, name=step.dataset, round=step.of_round
        )


@dataclass(frozen=True)
class Reasoning(OneLine):
    """Samples for captions, by a text-only model."""

    captions: Key
    model: Model
    asking: Asking

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The captions."""
        return (self.captions,)

    @property
    def what(self) -> str:
        """deepseek-ai/... on captions, k = 4, temperature 0.6, at most 8192 tokens"""
        return f"{self.model.model} on captions, {of_draw(self.asking)}"

    def carry_out(self, run: Run, step: Step) -> Made:
        """By vlt.datagen.reasoning."""
        made_of = run[self.captions]
        return make_reasoning(
            run.workspace, made_of, self.model, self.asking, name=step.dataset, round=step.of_round
        )


@dataclass(frozen=True)
class Rollouts(OneLine):
    """Samples for items, by a model that sees their images."""

    items: Key
    model: Model | Key
    asking: Asking

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The items, and the step that makes the model, if any."""
        return (self.items,) if isinstance(self.model, Model) else (self.items, self.model)

    @property
    def what(self) -> str:
        """round 1's grpo-model on items, k = 4, temperature 1, at most 2048 tokens"""
        if isinstance(self.model, Model):
            who = self.model.model
        else:
            who = f"round {self.model[0]}'s {self.model[1]}"
        return f"{who} on {self.items[1]}, {of_draw(self.asking)}"

    def carry_out(self, run: Run, step: Step) -> Made:
        """By vlt.datagen.rollouts."""
        made_of, model = run[self.items], run.model(self.model)
        return make_rollouts(
            run.workspace, made_of, model, self.asking, name=step.dataset, round=step.of_round
        )


@dataclass(frozen=True)
class Filter(OneLine):
    """What a chain of filters keeps of samples."""

    samples: tuple[Key, ...]
    chain: tuple[Any, ...]

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The samples."""
        return self.samples

    @property
    def what(self) -> str:
        """verify, select shortest, dedup"""
        return ", ".join(of_filter(f) for f in self.chain) or "no filters"

    def carry_out(self, run: Run, step: Step) -> Made:
        """By vlt.filters.apply."""
        return make_filtered(
            run.workspace,
            [run[key] for key in self.samples],
            chain=self.chain,
            name=step.dataset,
            round=step.of_round,
        )


@dataclass(frozen=True)
class Evaluate(OneLine):
    """A model's accuracy on held-out items."""

    items: Key
    model: Model | Key
    who: str
    """The model's name in messages."""
    asking: Asking

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The items, and the step that makes the model, if any."""
        return (self.items,) if isinstance(self.model, Model) else (self.items, self.model)

    @property
    def what(self) -> str:
        """sft-model on held-out items, temperature 1, at most 512 tokens"""
        return f"{self.who} on held-out items, {of_draw(self.asking)}"

    def carry_out(self, run: Run, step: Step) -> Made:
        """By vlt.evaluation.evaluate."""
        items, model = run[self.items], run.model(self.model)
        return make_evaluation(
            run.workspace, items, model, self.asking, name=step.dataset, round=step.of_round
        )


@dataclass(frozen=True)
class Train(OneLine):
    """A training by any method, from the base or from the model of another step."""

    method: Method
    data: Key
    start: Model | Key
    training: Training
    band: str = ""
    """Which part of the data, for messages."""
    hints: Key | None = None
    """The step whose samples are hints."""

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The data, and the steps that make the model and the hints, if any."""
        start = () if isinstance(self.start, Model) else (self.start,)
        return (self.data, *start, *((self.hints,) if self.hints else ()))

    @property
    def what(self) -> str:
        """from round 1's sft-model, pass rate 0.2-0.8 of new rollouts"""
        if isinstance(self.start, Model):
            return f"from the base, {self.start.model}{self.band}"
        return f"from round {self.start[0]}'s {self.start[1]}{self.band}"

    @property
    def settings(self) -> str:
        """What is frozen, the reward, TRL's fields; and the cost, if the method knows it."""
        cost = self.method.cost(self.training, None)
        return of_train(self.training) + (f"; {cost}" if cost else "")

    def carry_out(self, run: Run, step: Step) -> Made:
        """By vlt.train.training; SFT starts from the base in every round (paper, section 4.4)."""
        start = self.start if isinstance(self.start, Model) else run[self.start]
        made = train(
            run.workspace,
            self.method,
            run[self.data],
            start,
            self._choosing(run, step),
            name=step.dataset,
            round=step.of_round,
        )
        if isinstance(self.start, Model) and self.method.name == "sft":
            _check_base(run, step, self.start, made[0].manifest.parameters["model"])
        return made

    def _choosing(self, run: Run, step: Step) -> Training:
        """The training with validation items to choose by; their answers go to the journal, as always."""
        validation, choose = run.recipe.validation, self.training.choose
        training = self.training
        if isinstance(training, GrpoTraining) and training.hints:
            named = run[self.hints].ref if self.hints else training.hints
            training = replace(training, hints=named.removeprefix(IN_WORKSPACE))
        if not choose or not validation:
            return training
        items = run[0, "validation"]
        asking = run.recipe.asking(validation.draw, run.recipe.prompts.rollout)
        judged = f"choose-{self.method.name}" + (f".{step.variant}" if step.variant else "")

        def judge(folder: Path) -> dict[str, float]:
            evaluation, _ = make_evaluation(
                run.workspace,
                items,
                run.student(folder),
                asking,
                name=judged,
                round=step.round,
            )
            accuracy: dict[str, float] = evaluation.manifest.facts["accuracy"]
            return accuracy

        asked = {"prompt": asking.prompt.as_json(), **Draw.parameters(asking)}
        chooser = Chooser(every=choose.every, items=items, asked=asked, judge=judge)
        return replace(training, choose=chooser)


def _check_base(run: Run, step: Step, base: Model, started: Any) -> None:
    """Raises UserError if a round's SFT did not start from the same model as round 1's."""
    first = run.made.get((1, step.name))
    if first and first.manifest.parameters["model"] != started:
        raise UserError(
            f"the base model {base.model!r} is not the one that round 1's SFT started from "
            f"({first.manifest.parameters['model']}, now {started}); restore it, or run in a new "
            "workspace"
        )
