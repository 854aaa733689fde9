"""What images are worth to a model: its accuracy with the items' own images minus that without.

Both evaluations ask the same model the same questions and differ in the images shown (`--images`), so
the test is paired. It is one-sided, since the claim is that the image helps: of the items that the
model solves more often in one of the two, how likely this many with their own image are with a fair
coin. Items without an image, and those for which no other item's image could be shown, are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import comb
from typing import Any

from vlt.datagen.shown import NO_OTHER, images_of
from vlt.errors import UserError
from vlt.evaluation.compare import asked, compared, pass_rates
from vlt.workspace.store import Dataset, Store

WORDS = {"none": "no image", "swapped": "another item's image", "noise": "an image of noise"}
"""What is shown in place of the item's own image, for messages."""


@dataclass(frozen=True)
class ImageWorth:
    """A model with the items' own images, against the same model without them."""

    images: str
    """none, swapped or noise."""
    own: float
    other: float
    """Accuracies."""
    worth: float
    """The first minus the second, as a fraction, not in points."""
    low: float
    high: float
    """95 % interval of the worth."""
    solved: int
    """Items that it solves more often with their own image."""
    lost: int
    """Items that it solves more often without."""
    n: int
    p: float
    """One-sided p-value: how likely this many of the differing items are solved with their own image."""
    guess: float
    """Accuracy of the best single answer to all items of a kind: see `guessing`."""

    def sentence(self) -> str:
        """the image is worth +31.0 points [+24.2, +37.8]: 49.1 % with it, 18.1 % with another's ..."""
        low, high = (f"{100 * end:+.1f}" for end in (self.low, self.high))
        p = f"p = {self.p:.3f}" if self.p >= 0.001 else "p < 0.001"
        return (
            f"the image is worth {100 * self.worth:+.1f} points [{low}, {high}]: "
            f"{100 * self.own:.1f} % with it, {100 * self.other:.1f} % with {WORDS[self.images]}, of "
            f"{self.n:,} items ({p}); the best single answer to all is correct on {100 * self.guess:.1f} %"
        )


def image_worth(store: Store, own: Dataset, other: Dataset) -> ImageWorth:
    """The worth from two evaluations of one model. Items in only one of them are left out.

    Raises UserError if they differ in anything but the images.
    """
    first, second = asked(store, own, model=True), asked(store, other, model=True)
    how = images_of(store, other)
    if images_of(store, own) != "own" or how == "own":
        raise UserError(
            f"{own.ref} and {other.ref} do not differ in the images shown; evaluate one with --images "
            "none, swapped or noise, and the other without that option"
        )
    for name in {*first, *second} - {"images", "limit", "items"}:
        if first.get(name) != second.get(name):
            raise UserError(
                f"{own.ref} and {other.ref} cannot be paired: their {name} differ; evaluate both in "
                "one command"
            )
    rates, others = pass_rates(own), pass_rates(other)
    shown = with_images(other) & rates.keys() & others.keys()
    k = int(first["k"])
    found = compared({i: others[i] for i in shown}, {i: rates[i] for i in shown}, k)
    return ImageWorth(
        images=how,
        own=found.second,
        other=found.first,
        worth=found.difference,
        low=found.low,
        high=found.high,
        solved=found.solved,
        lost=found.lost,
        n=found.n,
        p=one_sided(found.solved, found.lost),
        guess=guessing(row for row in _golds(own) if row["id"] in shown),
    )


def one_sided(more: int, fewer: int) -> float:
    """Probability of at least `more` heads in `more + fewer` tosses of a fair coin; 1.0 without any."""
    n = more + fewer
    return sum(comb(n, heads) for heads in range(more, n + 1)) / 2**n


def guessing(golds: Iterable[Mapping[str, Any]]) -> float:
    """Accuracy of the best guess: the most common gold for each kind of item, or a random choice.

    A kind is an answer type and a number of choices. Rows have answer, answer_type and choices.
    """
    kinds: dict[tuple[str, int], Counter[str]] = {}
    for row in golds:
        kind = (row["answer_type"] or "", len(row["choices"] or []))
        kinds.setdefault(kind, Counter())[(row["answer"] or "").casefold()] += 1
    total = sum(counts.total() for counts in kinds.values())
    right = 0.0
    for (_, choices), counts in kinds.items():
        best = counts.most_common(1)[0][1]
        right += max(best, counts.total() / choices if choices else 0)
    return right / total if total else 0.0


def with_images(evaluation: Dataset) -> set[str]:
    """Ids of the items that have an image and for which a replacement could be shown."""
    found = set()
    for row in evaluation.rows(["id", "images"]):
        if row["images"]:
            found.add(row["id"])
    for row in evaluation.dropped.rows(["id", "images", "reason"]):
        if row["images"] and not (row["reason"] or "").startswith(NO_OTHER):
            found.add(row["id"])
    return found


def _golds(evaluation: Dataset) -> list[dict[str, Any]]:
    """Each item once."""
    columns = ["id", "answer", "answer_type", "choices"]
    found: dict[str, dict[str, Any]] = {}
    for rows in (evaluation.rows(columns), evaluation.dropped.rows(columns)):
        for row in rows:
            found.setdefault(row["id"], row)
    return list(found.values())
