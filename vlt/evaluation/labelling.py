"""What `vlt label` is told; apart from what it does, for `vlt --help` must not load that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from vlt.fields import Option, check


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """Which items are labelled."""

    majority: Annotated[float, Gt(0), Le(1), Option(metavar="SHARE")] = 0.75
    """Label items of whose samples at least this share gives the same answer."""
    min_samples: Annotated[int, Ge(2)] = 8
    """Leave out items with fewer samples."""
    only_unlabelled: bool = False
    """Leave out items that have a gold answer, which then only tell how good labels are."""

    def __post_init__(self) -> None:
        check(self)
