"""How often does a model solve an item? The one definition of the pass rate: for filters, command line,
recipes and GRPO.

An item's pass rate is the share of its samples that are correct. Samples that the grader could not
judge do not count; one that was cut at its token limit counts as not correct even if it was not
graded. Samples dropped by filters count as well: verification drops the wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.errors import UsageError, UserError
from vlt.workspace.lineage import fair_samples
from vlt.workspace.row_group import Mask
from vlt.workspace.schema import ITEM
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import FAILED

READS = ("id", "verdict", "finish_reason")
COUNTED = pa.schema([("id", pa.string()), ("solved", pa.bool_()), ("counts", pa.bool_())])
JUDGED = pa.array(["correct", "wrong"])
CLOSE = 1e-6
"""Tolerance at the ends of a band: 4 of 5 is 0.8, also as a 32-bit number."""


@dataclass(frozen=True)
class Band:
    """Pass rates from `low` to `high`, ends included; None means no limit."""

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        low, high = self._ends()
        if not 0 <= low <= high <= 1:
            raise UsageError(f"{self} is not a band of pass rates; write LOW:HIGH, e.g. 0.2:0.8")

    def __str__(self) -> str:
        return ":".join("" if end is None else f"{end:g}" for end in (self.low, self.high))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From LOW:HIGH; raises UsageError if the text is not a band."""
        try:
            low, high = (float(end) for end in text.split(":"))
            return cls(low, high)
        except (ValueError, UsageError):
            raise UsageError(
                f"{text!r} is not a band of pass rates; write LOW:HIGH, e.g. 0.2:0.8"
            ) from None

    def holds(self, rates: pa.Array | pa.ChunkedArray) -> Mask:
        """[n] which of the rates lie in it; an unknown one (null) only if there are no limits."""
        low, high = self._ends()
        values = pc.cast(rates, pa.float64())
        if self.low is None and self.high is None:
            return np.ones(len(values), bool)
        inside = pc.and_(pc.greater_equal(values, low - CLOSE), pc.less_equal(values, high + CLOSE))
        mask: Mask = np.asarray(pc.fill_null(inside, False))
        return mask

    def _ends(self) -> tuple[float, float]:
        return 0.0 if self.low is None else self.low, 1.0 if self.high is None else self.high


Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


def counted(rows: Rows) -> Rows:
    """From rows with READS: id, whether the sample is correct, and whether it counts (see COUNTED)."""
    verdict = rows.column("verdict")
    cut = pc.equal(pc.fill_null(rows.column("finish_reason"), ""), "length")
    columns = [
        rows.column("id"),
        pc.fill_null(pc.equal(verdict, "correct"), False),
        pc.or_(pc.is_in(verdict, JUDGED), pc.and_(pc.is_null(verdict), cut)),
    ]
    return type(rows).from_arrays(columns, schema=COUNTED)


def rates_of(samples: pa.Table) -> pa.Table:
    """id, n, correct, pass_rate of each item of these samples (see `counted`), in their order."""
    view = samples.filter(samples["counts"])
    table = pa.table({"id": view["id"], "solved": view["solved"].cast(pa.int32())})
    # In one thread the groups come in the order of their first rows.
    found = table.group_by("id", use_threads=False).aggregate(
        [("solved", "count"), ("solved", "sum")]
    )
    n, correct = (found[name].cast(pa.int32()) for name in ("solved_count", "solved_sum"))
    rate = pc.divide(correct.cast(pa.float64()), n.cast(pa.float64()))
    return pa.table({"id": found["id"], "n": n, "correct": correct, "pass_rate": rate})


def of_batches(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """The pass rates (see `rates_of`) of rows with READS."""
    return rates_of(pa.Table.from_batches([counted(batch) for batch in batches], COUNTED))


def pass_rates(samples: Dataset, *, captions: bool = False) -> pa.Table:
    """The pass rates (see `rates_of`) of a dataset of graded samples, dropped ones included.

    With `captions` the `id` stands for a caption of an item: see `by_caption`.

    Raises UserError if nothing has been graded.
    """
    if samples.kind != "sample":
        raise UsageError(
            f"{samples.ref} holds {samples.kind}s; pass rates are counted over samples"
        )
    if captions:
        rates = of_batches(map(by_caption, with_dropped(samples, [*READS, "caption"])))
    else:
        rates = of_batches(with_dropped(samples, READS))
    if not rates.num_rows and samples.manifest.rows:
        raise UserError(
            f"{samples.ref} has no verdicts; add them with `vlt filter {samples.ref} --verify`"
        )
    return rates


def fair_rates(
    store: Store, samples: Dataset, filter_name: str, *, captions: bool = False
) -> dict[str, float]:
    """id -> the pass rate of each item; with `captions`, of each caption (see `with_caption`).

    Raises UsageError, on behalf of the filter `filter_name`, for samples that were drawn until one was
    correct, which biases their pass rates.
    """
    if fair_samples(store, samples) is not None:
        raise UsageError(
            f"{filter_name}: {samples.ref} was sampled with --until-correct, which biases pass rates; "
            "sample without it"
        )
    rates = pass_rates(samples, captions=captions)
    return dict(zip(rates["id"].to_pylist(), rates["pass_rate"].to_pylist(), strict=True))


def by_caption(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with the key of one caption of one item (see `with_caption`) in place of the id."""
    return rows.set_column(rows.schema.get_field_index("id"), "id", with_caption(rows))


def with_caption(rows: pa.RecordBatch) -> pa.Array:
    """[n] keys, one for each caption of an item; rows without a caption have the item's id alone."""
    captions = pc.fill_null(rows.column("caption"), "")
    return pc.binary_join_element_wise(rows.column("id"), captions, "\0")


def with_dropped(samples: Dataset, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The kept rows, then the dropped ones."""
    yield from samples.batches(columns)
    yield from samples.dropped.batches(columns)


def rated_items(samples: Dataset, of_items: Iterable[str], fair: int | None = None) -> pa.Table:
    """The distinct items of a dataset of graded samples: ITEM's columns and pass_rate (float32).

    An item none of whose samples was kept is included too, since a wrong, cut or long response says
    nothing against its question, unless it was dropped by one of the filters `of_items`, which judge whole
    items (see vlt.filters.registry.of_items). Failed samples add no item.

    Args:
        fair: Only samples below this number count (see vlt.workspace.lineage.fair_samples).
    """
    columns = [*ITEM.names, "sample", "verdict", "finish_reason"]
    kept, gone = samples.table(columns), samples.dropped.table([*columns, "filter"])
    out = gone.filter(pc.is_in(gone["filter"], pa.array([*of_items], pa.string())))
    here = gone.filter(pc.not_equal(gone["filter"], FAILED))
    here = here.filter(pc.invert(pc.is_in(here["id"], out["id"])))
    items = pa.concat_tables([kept.select(ITEM.names), here.select(ITEM.names)])
    first: dict[str, int] = {}
    for place, row_id in enumerate(items["id"].to_pylist()):
        first.setdefault(row_id, place)
    items = items.take(pa.array(list(first.values()), pa.int64()))
    every = pa.concat_tables([kept, gone.select(columns)])
    if fair is not None:
        every = every.filter(pc.less(every["sample"], fair))
    return items.append_column("pass_rate", rate_of_each(counted(every), items["id"]))


def rate_of_each(samples: pa.Table, ids: Any) -> pa.Array:
    """[n] the pass rate (float32) of each of these items by these samples (see `counted`)."""
    rates = rates_of(samples)
    at = pc.index_in(ids, value_set=rates["id"].combine_chunks())
    return pc.take(rates["pass_rate"].combine_chunks(), at).cast(pa.float32(), safe=False)
