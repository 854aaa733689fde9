"""The settings of `vlt label`, in a separate module, so that `vlt --help` does not load the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from vlt.fields import Option, check


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """Which items are labelled."""

    majority: Annotated[float, Gt(0), Le(1), Option(metavar="SHARE")] = 0.75
    """Label items if at least this share of their samples gives the same answer."""
    min_samples: Annotated[int, Ge(2)] = 8
    """Leave out items with fewer samples."""
    only_unlabelled: bool = False
    """Leave out items with a gold answer, which are then used only to measure how good labels are."""

    def __post_init__(self) -> None:
        check(self)
