"""The canary: does a model look? It answers some held-out items again, with another item's image.

A run is stopped only by evidence. The image helps if a one-sided paired test says so at the given level.
It does not help if, in addition, the 95 % interval of its worth excludes what a model that looks would
gain from it: the gain of an earlier model in the run, or the margin of its accuracy over the best single
answer to all items. If neither is shown, the accuracy is too low or there are too few rows, and the
canary reports that instead.
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
    """How the models of a run are tested for whether they look."""

    __pydantic_config__ = FORBID

    items: Annotated[int, Ge(1)] = 200
    """Held-out items that are asked again, drawn with the recipe's seed."""
    images: tuple[Literal["swapped", "none", "noise"], ...] = ("swapped",)
    """What is shown in place of the item's own image; the first of them decides whether the run stops."""
    level: Annotated[float, Gt(0), Le(0.5)] = 0.05
    """Significance level of the one-sided paired test."""
    stop: bool = True
    """Stop the run if a model does not look; otherwise only report it."""

    def __post_init__(self) -> None:
        check(self)
        if not self.images or len(set(self.images)) < len(self.images):
            raise UsageError(
                "canary: list what is shown in place of the item's own image, each once: images: [swapped]"
            )


@dataclass(frozen=True)
class Judged:
    """The canary's result for one model."""

    finding: Finding
    sentence: str


def judged(
    found: ImageWorth, settings: Canary, seen: float = 0.0, who: str = "the model"
) -> Judged:
    """Whether a model looks at its images.

    seen: The minimum worth of the images to earlier models in the run, if they looked.
    who: The model, for the sentence.
    """
    instead = WORDS[found.images]
    if not found.n:
        return Judged(
            "cannot tell",
            f"cannot tell whether {who} looks: none of the canary's items has an image that could be "
            f"replaced by {instead}",
        )
    if found.p <= settings.level:
        return Judged("looks", f"{who} looks: {found.sentence()}")
    accuracy = wilson(found.own * found.n, found.n)
    expected = max(seen, accuracy.low - found.guess)
    if expected <= 0:
        return Judged(
            "cannot tell",
            f"cannot tell whether {who} looks: it is correct on {100 * found.own:.1f} % of {found.n:,} "
            f"items, and the best single answer to all on {100 * found.guess:.1f} %",
        )
    # If it helped on none of n items: the maximum share that it may help on, at this level.
    most = max(found.high, found.worth + 1 - settings.level ** (1 / found.n))
    if most >= expected:
        return Judged(
            "cannot tell",
            f"cannot tell from {found.n:,} items whether {who} looks: {found.sentence()}; use a larger "
            "canary.items",
        )
    why = (
        f"to an earlier model they were worth at least {100 * seen:+.1f} points"
        if seen >= accuracy.low - found.guess
        else f"it is correct on {100 * found.own:.1f} %, and the best single answer to all on "
        f"{100 * found.guess:.1f} %"
    )
    return Judged(
        "does not look",
        f"{who} answers no better with its own images than with {instead}: they are worth "
        f"{100 * found.worth:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}] on "
        f"{found.n:,} items (p = {found.p:.2f}, level {settings.level:g}), while {why}",
    )
