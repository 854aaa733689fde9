"""Only items that the model solves sometimes: all right or all wrong teaches GRPO nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pyarrow as pa

from vlt.errors import UsageError
from vlt.fields import Option
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.pass_rate import READS, Band, counted, rate_of_each
from vlt.filters.protocol import Judgement
from vlt.workspace.lineage import fair_samples
from vlt.workspace.reason import Reason
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace


@dataclass(frozen=True)
class Difficulty:
    """Keeps the items whose pass rate lies in the band, ends included. Goes after `grade`."""

    name: ClassVar[str] = "difficulty"
    columns: ClassVar[tuple[str, ...]] = READS
    of_items: ClassVar[bool] = True

    band: Annotated[str, Option("--difficulty", metavar="LOW:HIGH")] = "0.2:0.8"
    """Keep items whose pass rate lies in this band, ends included, e.g. 0.2:0.8."""

    def __post_init__(self) -> None:
        try:
            Band.parse(self.band)
        except UsageError as error:
            raise UsageError(f"difficulty: {error}") from None

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> Difficulty:
        """Raises UsageError if wrong items were sampled again, which biases pass rates."""
        for parent in parents:
            if fair_samples(workspace, parent) is not None:
                raise UsageError(
                    f"{parent.ref} was sampled with --until-correct, which biases the pass rates "
                    "that difficulty uses; sample without it, or use `vlt train grpo "
                    "--difficulty`, which counts only the first k samples"
                )
        return self

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """id, solved, counts."""
        return counted(rows)

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:  # noqa: ARG002
        """An item without a graded sample is outside."""
        rates = rate_of_each(view, view["id"])
        keep = Band.parse(self.band).holds(rates)
        outside = "pass rate outside the band"
        return Judgement(
            keep,
            [
                Reason("no graded sample")
                if rate is None
                else Reason(outside, f"{rate:.2f} not in {self.band}")
                for rate in rates.filter(pa.array(~keep)).to_pylist()
            ],
        )
