"""Accuracies in a benchmark's tables: in percent, with their 95 % intervals, pooled over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vlt.evaluation.evaluate import wilson

Score = Mapping[str, float]
"""value, low, high, n, as in vlt.evaluation.evaluate.Score."""


def cell(score: Score) -> str:
    """`48.0 [44.9, 51.1]`"""
    return f"{100 * score['value']:.1f} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def pooled(scores: Iterable[Score]) -> Score:
    """The score over the answers of all seeds."""
    each = list(scores)
    right = sum(score["value"] * score["n"] for score in each)
    return vars(wilson(right, int(sum(score["n"] for score in each))))


def gains(
    later: str, later_scores: Sequence[Score], earlier: str, earlier_scores: Sequence[Score]
) -> str:
    """`GRPO 1 over SFT 1: +27.6 points (+28.4, ...)`: the mean, and each seed's."""
    each = [
        100 * (a["value"] - b["value"]) for a, b in zip(later_scores, earlier_scores, strict=True)
    ]
    mean = sum(each) / len(each)
    return f"{later} over {earlier}: {mean:+.1f} points ({', '.join(f'{g:+.1f}' for g in each)})"
