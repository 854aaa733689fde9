"""Which of an item's responses to train on (paper, section 4.1: the shortest correct one)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.errors import UsageError, UserError
from vlt.fields import Option
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.protocol import Judgement
from vlt.filters.text import normalised
from vlt.workspace.judgements import COLUMN, UNJUDGED, combined, judgements_in
from vlt.workspace.reason import Reason

POLICIES = {
    "shortest": "the paper: the shortest first",
    "longest_but_one": "upstream's v1.2 script: a single path, else the second longest",
    "distinct": "responses of different words, in the order they were sampled",
    "first": "in the order they were sampled",
    "judged:RUBRIC": "the judges' highest mean score by that rubric first, the shorter of two alike",
}
JUDGED = "judged:"
_ORDER = {
    "shortest": "length, sample, place",
    "longest_but_one": "length desc, sample, place",
    "distinct": "sample, place",
    "first": "sample, place",
    JUDGED: "score desc nulls last, length, sample, place",
}


@dataclass(frozen=True)
class Select:
    """Keeps at most `cap` correct responses of each item; length is in characters."""

    name: ClassVar[str] = "select"
    columns: ClassVar[tuple[str, ...]] = ("id", "sample", "response", "verdict", COLUMN)

    policy: Annotated[str, Option("--select", metavar="POLICY")] = "shortest"
    """Which correct responses of an item to keep: shortest, longest-but-one, distinct, first, or
    judged:RUBRIC (highest score by that rubric)."""
    cap: Annotated[int | None, Option("--cap", metavar="N")] = None
    """With --select: maximum responses per item [one; for distinct, all]."""

    def __post_init__(self) -> None:
        if not self.rubric:
            object.__setattr__(self, "policy", self.policy.replace("-", "_"))
        if self.policy not in POLICIES and not self.rubric:
            raise UsageError(
                f"select: {self.policy!r} is not a policy; write {', '.join(POLICIES)}"
            )
        if self.cap is None and self.policy != "distinct":
            object.__setattr__(self, "cap", 1)
        if self.cap is not None and self.cap < 1:
            raise UsageError(f"select: a cap of {self.cap} keeps nothing; give a number above 0")

    @property
    def rubric(self) -> str:
        """The rubric of judged:RUBRIC; empty for another policy."""
        return self.policy.removeprefix(JUDGED) if self.policy.startswith(JUDGED) else ""

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """id, sample, length, correct, judged; for `distinct` the hash of the normalised words, for a
        rubric the mean score."""
        response = pc.fill_null(rows.column("response"), "")
        verdict = rows.column("verdict")
        columns = {
            "id": rows.column("id"),
            "sample": rows.column("sample"),
            "length": pc.utf8_length(response),
            "correct": pc.fill_null(pc.equal(verdict, "correct"), False),
            "judged": pc.is_valid(verdict),
        }
        if self.policy == "distinct":
            import pandas as pd

            words = normalised(response).to_numpy(zero_copy_only=False)
            columns["words"] = pa.array(pd.util.hash_array(words, categorize=False))
        if self.rubric:
            found = [combined(of_row, self.rubric) for of_row in judgements_in(rows)]
            scores = [j.score if j and j.verdict != UNJUDGED else None for j in found]
            columns["score"] = pa.array(scores, pa.float64())
        return pa.RecordBatch.from_pydict(columns)

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:
        """One query: rank the correct responses of each item and keep the first `cap`."""
        if not view.num_rows:
            return Judgement(np.zeros(0, bool))
        if not pc.any(view["judged"]).as_py():
            raise UserError(
                "select keeps correct responses, but none has a verdict; put verify before it"
            )
        if self.rubric and not pc.any(pc.is_valid(view["score"])).as_py():
            raise UserError(
                f"select: no row has a score by {self.rubric!r}; run `vlt judge SAMPLES --rubric "
                f"{self.rubric} --model M` first, and filter the version that it makes"
            )
        view = view.append_column("place", pa.array(np.arange(view.num_rows)))
        again, skip, order = "false", "0", _ORDER[JUDGED if self.rubric else self.policy]
        if self.policy == "longest_but_one":
            skip = "if(count(*) over (partition by id) > 1, 1, 0)"
        if self.policy == "distinct":
            again = "row_number() over (partition by id, words order by sample, place) > 1"
        ranked = scratch.query(
            f"""
            with candidates as (
                select *, {again} as again, {skip} as skip from rows where correct
            )
            select place, again, row_number() over (
                partition by id, again order by {order}) - skip as rank
            from candidates
            """,
            rows=view,
        )
        at = ranked["place"].to_numpy()
        right = view["correct"].to_numpy()
        rank = np.zeros(view.num_rows, np.int64)
        rank[at] = ranked["rank"].to_numpy()
        same = np.zeros(view.num_rows, bool)
        same[at] = ranked["again"].to_numpy()
        keep = (rank > 0) & ~same
        if self.cap is not None:
            keep &= rank <= self.cap
        out = np.flatnonzero(~keep)
        not_this = f"not {self.policy} among the item's correct responses"
        again_said = "same words as another"
        reasons = [
            Reason("not correct" if not right[i] else again_said if same[i] else not_this)
            for i in out.tolist()
        ]
        return Judgement(keep, reasons)
