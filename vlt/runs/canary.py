"""The steps of a recipe's canary: a part of the held-out items, asked of each model without their images."""

from __future__ import annotations

from dataclasses import dataclass

from vlt.datagen.asking import Asking
from vlt.datagen.mix import make_mix
from vlt.engine.model import Model
from vlt.errors import UserError
from vlt.evaluation.canary import Canary, judged
from vlt.evaluation.evaluate import make_evaluation
from vlt.evaluation.image_worth import WORDS, image_worth
from vlt.runs.step import Key, Made, OneLine, Run, Step

ITEMS: Key = (0, "canary")


@dataclass(frozen=True)
class CanaryItems(OneLine):
    """The held-out items that the canary asks."""

    items: Key
    sample: int
    seed: int

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The held-out items."""
        return (self.items,)

    @property
    def what(self) -> str:
        """up to 200 held-out items, to see whether models look"""
        return f"up to {self.sample:,} held-out items, to see whether models look at their images"

    def carry_out(self, run: Run, step: Step) -> Made:
        """Draw the sample, or take all items if there are not as many."""
        made_of = run[self.items]
        return make_mix(
            run.workspace, [made_of], sample=self.sample, seed=self.seed, name=step.dataset
        )


@dataclass(frozen=True)
class Look(OneLine):
    """A model asked with images other than the items' own, compared with its ordinary evaluation."""

    model: Model | Key
    evaluation: Key
    """The same model's ordinary evaluation."""
    who: str
    """The model's name in messages."""
    asking: Asking
    """Includes what is shown instead of the images."""
    canary: Canary
    stops: bool
    """Whether the run stops here if the model does not look."""
    before: tuple[tuple[Key, Key], ...] = ()
    """The ordinary evaluation and the canary's of each model of the run before this one."""

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The items, the ordinary evaluation, and the step that makes the model, if any."""
        own = () if isinstance(self.model, Model) else (self.model,)
        return (ITEMS, self.evaluation, *own)

    @property
    def what(self) -> str:
        """sft-model on the canary's items with another item's image"""
        stops = "; the run stops if that is no worse" if self.stops else ""
        return f"{self.who} on canary items, shown {WORDS[self.asking.images]}{stops}"

    @property
    def settings(self) -> str:
        """The test."""
        return f"one-sided paired test, level {self.canary.level:g}" if self.stops else ""

    def carry_out(self, run: Run, step: Step) -> Made:
        """Raises UserError if the model does not look and the recipe stops on that."""
        made, existed = make_evaluation(
            run.workspace,
            run[ITEMS],
            run.model(self.model),
            self.asking,
            name=step.dataset,
            round=step.of_round,
        )
        if not existed:
            _check_processor(run.model(self.model))
        found = image_worth(run.workspace, run[self.evaluation], made)
        seen = [low for pair in self.before if (low := self._seen(run, pair)) is not None]
        who = f"round {step.round}'s {self.who}" if step.round else self.who
        verdict = judged(found, self.canary, max([0.0, *seen]), who)
        if verdict.finding == "does not look" and self.stops:
            raise UserError(
                f"{verdict.sentence}; check that images reach it (`vlt view {made.ref}`) and whether the "
                "questions give their answers away (`vlt filter --needs-image`); to go on: --set "
                "canary=off"
            )
        if run.workspace.notice:
            run.workspace.notice(verdict.sentence)
        return made, existed

    def _seen(self, run: Run, pair: tuple[Key, Key]) -> float | None:
        """A lower bound of what the images were worth to an earlier model, if it looked."""
        own, other = (run.made.get(key) for key in pair)
        if not own or not other:
            return None
        found = image_worth(run.workspace, own, other)
        return found.low if found.p <= self.canary.level else None


def _check_processor(model: Model) -> None:
    """Check the processor of a model loaded in this process; a server's cannot be checked from here."""
    if model.kind == "local":
        from vlt.engine.loading import load_processor
        from vlt.train.row_check import check_processor

        check_processor(load_processor(model.model, model.revision))
