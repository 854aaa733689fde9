"""Do an item's samples give the same answer? A signal that needs no gold and no judge."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from annotated_types import Ge, Le

from vlt.fields import Option, check
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.pass_rate import CLOSE
from vlt.filters.protocol import Judgement
from vlt.grade.agreement import COLUMNS, agreement
from vlt.workspace.reason import Reason

VIEW = pa.schema(
    [
        ("id", pa.string()),
        ("agreement", pa.float64()),
        ("predicted", pa.string()),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer_type", pa.string()),
    ]
)


@dataclass(frozen=True)
class Agreement:
    """Keeps items whose samples agree: the share that gives the majority answer. Goes before `verify`."""

    name: ClassVar[str] = "agreement"
    columns: ClassVar[tuple[str, ...]] = ("id", "predicted", *COLUMNS)
    of_items: ClassVar[bool] = True

    min: Annotated[float, Ge(0), Le(1), Option("--agreement", metavar="SHARE")] = 0.5
    """Keep items if at least this share of their samples gives the majority answer, e.g. 0.5."""

    def __post_init__(self) -> None:
        check(self)

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The agreement recorded when the samples were drawn; otherwise the columns needed to compute it."""
        known = rows.column("agreement")
        lacks = pc.is_null(known)
        columns = [rows.column("id"), known]
        for f in VIEW:
            if f.name not in ("id", "agreement"):
                columns.append(pc.if_else(lacks, rows.column(f.name), pa.scalar(None, f.type)))
        return pa.RecordBatch.from_arrays(columns, schema=VIEW)

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:  # noqa: ARG002
        """An item with one sample has no agreement, and is dropped."""
        shares = shares_of(view)
        keep = np.array([share is not None and share >= self.min - CLOSE for share in shares], bool)
        below = f"of {self.min:g}"
        return Judgement(
            keep,
            [
                Reason("fewer than two samples")
                if share is None
                else Reason("agreement below the minimum", f"{share:.2f} {below}")
                for share, kept in zip(shares, keep, strict=True)
                if not kept
            ],
        )


def shares_of(view: pa.Table) -> list[float | None]:
    """[n] the agreement of each row's item (see VIEW); None for an item with one sample."""
    known = view["agreement"]
    lacks = view.filter(pc.is_null(known))
    if not len(lacks):
        return list(known.to_pylist())
    one = pc.and_(pc.is_null(known), pc.is_in(view["id"], _of_one_answer(lacks)))
    shares: list[float | None] = pc.if_else(one, 1.0, known).to_pylist()
    left = [place for place, share in enumerate(shares) if share is None]
    rows: list[dict[str, Any]] = view.take(pa.array(left, pa.int64())).to_pylist()
    of_item: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        of_item[row["id"]].append(row)
    found = {id: agreement(samples) for id, samples in of_item.items()}
    for place, row in zip(left, rows, strict=True):
        shares[place] = found[row["id"]]
    return shares


def _of_one_answer(rows: pa.Table) -> pa.Array:
    """The items with several samples that all give one answer, spelt the same."""
    answers = [text for text in pc.unique(rows["predicted"]).to_pylist() if (text or "").strip()]
    found = (
        pa.table(
            {
                "id": rows["id"],
                "answer": rows["predicted"],
                "given": pc.is_in(rows["predicted"], pa.array(answers, pa.string())),
            }
        )
        .group_by("id")
        .aggregate([("answer", "count_distinct"), ("given", "all"), ("given", "count")])
    )
    several = pc.greater(found["given_count"], 1)
    same = pc.and_(pc.equal(found["answer_count_distinct"], 1), found["given_all"])
    return found["id"].filter(pc.and_(several, same)).combine_chunks()
