"""A run's progress in plain lines: for files, pipes and dumb terminals."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vlt.cli.output import chosen_score, describe, percent, say
from vlt.cli.progress import Progress

if TYPE_CHECKING:
    from vlt.runs.step import Step


class PlanLines(AbstractContextManager["PlanLines"]):
    """Prints when a step begins and ends, with the stages' progress on a line between them."""

    def __init__(self, steps: Sequence[Step]):
        self.steps = steps
        self.progress = Progress()
        self.place = 0
        """How many steps have ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.done()

    def begin(self, step: Step) -> None:
        """A step begins."""
        self.progress.done()
        if not step.earlier:
            say(f"{self._head(step)}{step.name}: {step.what}")

    def end(self, step: Step, dataset: Any, existed: bool) -> None:
        """A step has made its version, or found it."""
        self.progress.done()
        self.place += 1
        if step.earlier:
            say(f"{self._head(step)}{step.name}: {dataset.ref}, used as it is{scored(dataset)}")
            return
        say(f"        {describe(dataset, existed=existed)}{scored(dataset)}")

    def _head(self, step: Step) -> str:
        number = f"round {step.round} " if step.round else ""
        return f"[{self.place + (not step.earlier):>2}/{len(self.steps)}] {number}"


def scored(dataset: Any) -> str:
    """`, accuracy ...`, if the version has one."""
    facts, chosen = (dataset.manifest.facts.get(name) for name in ("accuracy", "chosen"))
    if chosen:
        of, best = chosen["of"][-1]["step"], percent(chosen_score(chosen))
        return f", step {chosen['step']} of {of}: {best} (validation)"
    return f", accuracy {percent(facts)}" if facts else ""
