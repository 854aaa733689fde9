"""The canary: does a model look? It answers part of the held-out items with another item's image, too.

A run is stopped only by evidence. The image helps where a one-sided paired test says so at the stated
level. It does not where, besides, the 95 % interval of its worth leaves out as much as a model that
looks would have from it: that is what a model before it in the run had, or how far its accuracy lies
above that of one answer to all. Where neither is shown, accuracy is too low or rows are too few, and
that is said instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from vlt.errors import UsageError
from vlt.evaluation.image_worth import WORDS, ImageWorth
from vlt.evaluation.interval import wilson
from vlt.fields import FORBID, check

Finding = Literal["looks", "does not look", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Canary:
    """How the models of a run are asked whether they look."""

    __pydantic_config__ = FORBID

    items: Annotated[int, Ge(1)] = 200
    """Held-out items that are asked again, drawn by the recipe's seed."""
    images: tuple[Literal["swapped", "none", "noise"], ...] = ("swapped",)
    """What is shown in place of the own image; the run is stopped by the first of them."""
    level: Annotated[float, Gt(0), Le(0.5)] = 0.05
    """Of the one-sided paired test."""
    stop: bool = True
    """Stop the run where a model does not look; else only say so."""

    def __post_init__(self) -> None:
        check(self)
        if not self.images or len(set(self.images)) < len(self.images):
            raise UsageError(
                "canary: name what is shown in place of the own image, each once: images: [swapped]"
            )


@dataclass(frozen=True)
class Judged:
    """What the canary says of one model."""

    finding: Finding
    sentence: str


def judged(
    found: ImageWorth, settings: Canary, seen: float = 0.0, who: str = "the model"
) -> Judged:
    """Whether a model looks at its images.

    seen: The worth that models before it in the run had at least of their images, where they looked.
    who: The model, for the sentence.
    """
    instead = WORDS[found.images]
    if not found.n:
        return Judged(
            "cannot tell",
            f"whether {who} looks cannot be told: none of the canary's items has an image that {instead} "
            "could stand for",
        )
    if found.p <= settings.level:
        return Judged("looks", f"{who} looks: {found.sentence()}")
    accuracy = wilson(found.own * found.n, found.n)
    expected = max(seen, accuracy.low - found.guess)
    if expected <= 0:
        return Judged(
            "cannot tell",
            f"whether {who} looks cannot be told: it is right on {100 * found.own:.1f} % of {found.n:,} "
            f"items, and one answer to all is right on {100 * found.guess:.1f} %",
        )
    # Of n items none of which it helped: how many it may help at most, at this level.
    most = max(found.high, found.worth + 1 - settings.level ** (1 / found.n))
    if most >= expected:
        return Judged(
            "cannot tell",
            f"whether {who} looks cannot be told by {found.n:,} items: {found.sentence()}; with a larger "
            "canary.items it can",
        )
    why = (
        f"a model before it had at least {100 * seen:+.1f} points of its images"
        if seen >= accuracy.low - found.guess
        else f"it is right on {100 * found.own:.1f} %, and one answer to all on {100 * found.guess:.1f} %"
    )
    return Judged(
        "does not look",
        f"{who} answers no better with its own images than with {instead}: they are worth "
        f"{100 * found.worth:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}] on "
        f"{found.n:,} items (p = {found.p:.2f}, level {settings.level:g}), while {why}",
    )
