"""A recipe's judges as steps: between generation and filters, one per rubric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vlt.datagen.asking import Asking
from vlt.engine.model import Model
from vlt.evaluation.judging import make_judged
from vlt.runs.describe import of_draw
from vlt.runs.judge_use import JudgeUse
from vlt.runs.step import Key, Made, OneLine, Run, Step


@dataclass(frozen=True)
class Judgements(OneLine):
    """The samples with judgements by a rubric."""

    samples: Key
    use: JudgeUse
    models: tuple[Model, ...]
    asking: Asking

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The samples."""
        return (self.samples,)

    @property
    def what(self) -> str:
        """grounded, by big and small: temperature 0, at most 2048 tokens"""
        judges = " and ".join(model.model for model in self.models)
        sees = {None: "", True: " with the image", False: " without the image"}[self.use.image]
        return f"{self.use.name}, by {judges}{sees}: {of_draw(self.asking)}"

    def carry_out(self, run: Run, step: Step) -> Made:
        """By vlt.evaluation.judging."""
        return make_judged(
            run.workspace,
            run[self.samples],
            list(self.models),
            self.use.rubric,
            self.asking,
            image=self.use.image,
            name=step.dataset,
            round=step.of_round,
        )


def judging_steps(
    number: int, samples: Key, uses: Sequence[tuple[JudgeUse, tuple[Model, ...], Asking]]
) -> Iterator[Step]:
    """One step per rubric, each on the output of the one before; the last holds all judgements."""
    of_teacher = samples[1].removeprefix("samples")
    for use, models, asking in uses:
        step = Step(
            number, f"judged-{use.name}{of_teacher}", Judgements(samples, use, models, asking)
        )
        yield step
        samples = step.key
