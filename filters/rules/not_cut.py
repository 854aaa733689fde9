"""Was the response cut at its limit of tokens? Nothing whole can be learned from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from vlt.filters.protocol import Judgement
from vlt.workspace.reason import Reason

if TYPE_CHECKING:
    from vlt.filters.protocol import Filter

REASON = Reason("cut at the limit of tokens")
_BEFORE = ("verify", "grade", "correct", "difficulty")
_FOR_TRAINING = set(
    "verify correct select max_words max_tokens truncate_reflections repetition leakage format "
    "disagreement language".split()
)
"""A chain with one of these chooses responses to train on."""


@dataclass(frozen=True)
class NotCut:
    """Takes out responses that were cut; stands by itself in chains that choose responses to train on.

    An end that nobody knows (null, a server's own word) is no sign of a cut.
    """

    name: ClassVar[str] = "not_cut"
    columns: ClassVar[tuple[str, ...]] = ("finish_reason",)
    threads: ClassVar[bool] = True

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Keeps all but `length`."""
        found = pc.fill_null(pc.equal(rows.column("finish_reason"), "length"), False)
        keep = ~found.to_numpy(zero_copy_only=False)
        return Judgement(keep, REASON)


def without_cut(filters: Sequence[Filter], kind: str) -> list[Filter]:
    """The chain with `not_cut` in its place: behind the verdicts, so that pass rates count all samples.

    A chain that speaks of `not_cut` or `finish_reason` itself stays as it is, as do chains over other
    kinds of rows and those with none of the filters that choose what to train on.
    """
    names = [filter.name for filter in filters]
    spoken = {"not_cut", "finish_reason"} & set(names)
    if kind != "sample" or spoken or not _FOR_TRAINING & set(names):
        return list(filters)
    place = max([i + 1 for i, name in enumerate(names) if name in _BEFORE], default=0)
    return [*filters[:place], NotCut(), *filters[place:]]
