"""Was the response cut at the token limit? An incomplete response is nothing to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from vlt.filters.protocol import Judgement
from vlt.workspace.manifest import Stage
from vlt.workspace.reason import Reason

if TYPE_CHECKING:
    from vlt.filters.protocol import Filter
    from vlt.workspace.store import Dataset
    from vlt.workspace.workspace import Workspace

REASON = Reason("cut at the limit of tokens")
_BEFORE = ("verify", "grade", "correct", "difficulty", "agreement")
_OF_ITEMS = (
    "grade",
    "where",
    "dedup",
    "near_dedup",
    "decontaminate",
    "mixture",
    "flagged",
    "difficulty",
    "agreement",
    "needs_image",
)
"""A chain of these alone does not judge responses, and leaves cut ones in."""


@dataclass(frozen=True)
class NotCut:
    """Drops responses that ended at the token limit; added to every chain that judges responses.

    An unknown finish reason (null, or a server's own) does not count as a cut.
    """

    name: ClassVar[str] = "not_cut"
    columns: ClassVar[tuple[str, ...]] = ("finish_reason",)

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Keeps every finish reason but `length`."""
        found = pc.fill_null(pc.equal(rows.column("finish_reason"), "length"), False)
        keep = ~found.to_numpy(zero_copy_only=False)
        return Judgement(keep, REASON)


def with_not_cut(filters: Sequence[Filter], kind: str) -> list[Filter]:
    """The chain with `not_cut` added: after the verdicts, so that pass rates count all samples.

    A chain that contains `not_cut` or `finish_reason` is unchanged, as are chains over other
    kinds of rows and those that do not judge responses.
    """
    names = [filter.name for filter in filters]
    if (
        kind != "sample"
        or {"not_cut", "finish_reason"} & set(names)
        or set(names) <= set(_OF_ITEMS)
    ):
        return list(filters)
    place = max([i + 1 for i, name in enumerate(names) if name in _BEFORE], default=0)
    return [*filters[:place], NotCut(), *filters[place:]]


def made_before(
    workspace: Workspace, name: str, stage: Stage, parents: Sequence[Dataset]
) -> Dataset | None:
    """The version that vlt 0.1 made with the same chain, without `not_cut`, if its rows are the same."""
    chain = [entry for entry in stage.parameters["chain"] if entry["filter"] != NotCut.name]
    found = workspace.find(name, Stage(stage.name, {"chain": chain}), parents)
    if not found:
        return None
    kept, gone = found.table(["finish_reason"]), found.dropped.table(["finish_reason", "filter"])
    later = gone.filter(pc.invert(pc.is_in(gone["filter"], pa.array(_BEFORE))))
    reasons = pa.chunked_array(
        [*kept["finish_reason"].chunks, *later["finish_reason"].chunks], pa.string()
    )
    return None if pc.any(pc.equal(reasons, "length")).as_py() else found
