"""How often does a model solve an item? All right or all wrong teaches GRPO nothing.

The pass rate of an item is the share of its samples that are correct; a sample that was cut at its
length limit counts as not correct even where nobody graded it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.errors import UsageError, UserError
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.protocol import Judgement
from vlt.workspace.store import Dataset

READS = ("id", "verdict", "finish_reason")
_RATES = """
    select id, count(*)::int as n, count_if(solved)::int as correct,
        avg(solved::int)::float as pass_rate
    from rows where counts group by id order by min(place)
"""


def _counted(rows: pa.RecordBatch) -> pa.RecordBatch:
    verdict = rows.column("verdict")
    cut = pc.equal(pc.fill_null(rows.column("finish_reason"), ""), "length")
    columns = {
        "id": rows.column("id"),
        "solved": pc.fill_null(pc.equal(verdict, "correct"), False),
        "counts": pc.or_(pc.is_valid(verdict), cut),
    }
    return pa.RecordBatch.from_pydict(columns)


def _rates(view: pa.Table, scratch: Scratch) -> pa.Table:
    return scratch.query(_RATES, rows=view.append_column("place", pa.array(np.arange(len(view)))))


def pass_rates(samples: Dataset) -> pa.Table:
    """id, n, correct, pass_rate of each item of a dataset of graded samples.

    The rows that filters took out count too, so the version that `verify` made will do. Raises
    UserError where nothing has been graded.
    """
    if samples.kind != "sample":
        raise UsageError(
            f"{samples.ref} holds {samples.kind}s; pass rates are counted over samples"
        )
    rates = rates_of(with_dropped(samples, READS))
    if not rates.num_rows and samples.manifest.rows:
        raise UserError(
            f"{samples.ref} has no verdicts; write them with `vlt filter {samples.ref} --verify`"
        )
    return rates


def rates_of(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """id, n, correct, pass_rate of the items of these samples; those not graded do not count."""
    schema = pa.schema([("id", pa.string()), ("solved", pa.bool_()), ("counts", pa.bool_())])
    view = pa.Table.from_batches([_counted(batch) for batch in batches], schema)
    with tempfile.TemporaryDirectory(prefix="vlt-") as folder:
        return _rates(view, Scratch(Path(folder)))


def with_dropped(samples: Dataset, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows that were kept, then those that were not."""
    yield from samples.batches(columns)
    yield from samples.dropped.batches(columns)


@dataclass(frozen=True)
class Difficulty:
    """Keeps the items whose pass rate lies in the band, ends included. Stands after `grade`."""

    name: ClassVar[str] = "difficulty"
    columns: ClassVar[tuple[str, ...]] = READS

    band: str = "0.2:0.8"
    """LOW:HIGH."""

    def __post_init__(self) -> None:
        self._ends()

    def _ends(self) -> tuple[float, float]:
        try:
            low, high = (float(end) for end in self.band.split(":"))
        except ValueError:
            low, high = 1, 0
        if not 0 <= low <= high <= 1:
            raise UsageError(
                f"difficulty: {self.band!r} is not a band; write LOW:HIGH, such as 0.2:0.8"
            )
        return low, high

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """id, solved, counts."""
        return _counted(rows)

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:
        """An item none of whose samples was graded is outside."""
        low, high = self._ends()
        rates = _rates(view, scratch)
        outside = "pass rate outside the band"
        rate = dict(zip(rates["id"].to_pylist(), rates["pass_rate"].to_pylist(), strict=True))
        each = [rate.get(id) for id in view["id"].to_pylist()]
        # The rates are 32-bit; 0.2 of five samples must lie in 0.2:0.8.
        inside = [r is not None and low - 1e-6 <= r <= high + 1e-6 for r in each]
        reasons = [
            "no graded sample" if r is None else f"{outside}: {r:.2f} not in {self.band}"
            for r, ok in zip(each, inside, strict=True)
            if not ok
        ]
        return Judgement(np.array(inside, bool), reasons)
