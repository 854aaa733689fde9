"""A share of items with its 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """A share of items with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def wilson(right: float, n: int) -> Score:
    """Wilson's 95 % interval of `right` out of `n` (1927); also defined at 0 and n."""
    if n == 0:
        return Score(0.0, 0.0, 1.0, 0)
    z, p = 1.959964, right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Score(p, max(0.0, centre - half), min(1.0, centre + half), n)
