"""A user's classes as filters (see protocol.py): an exception in them fails rows, not the run."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from vlt.errors import UserError
from vlt.filters.protocol import Filter, Judgement, RowFilter
from vlt.plugins import blame
from vlt.workspace.reason import Reason


def judged(filter: RowFilter, rows: pa.RecordBatch) -> Judgement:
    """`filter.judge(rows)`; if a user's filter raises, only the rows that cause it count as failed."""
    try:
        return filter.judge(rows)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if not is_own(filter):
            raise
        if rows.num_rows == 1:
            kind, detail = type(error).__name__, blame(error, _file(filter))
            reason = Reason(f"{filter.name} raised {kind}", detail.removeprefix(kind).lstrip(": "))
            return Judgement(np.zeros(1, bool), failed={0: reason})
    half = rows.num_rows // 2
    parts = rows.slice(0, half), rows.slice(half)
    return _together(parts[0], judged(filter, parts[0]), parts[1], judged(filter, parts[1]))


@contextmanager
def reporting_own_errors(filter: Filter) -> Iterator[None]:
    """Turn what a user's whole filter raises into a UserError: it judges all rows or none."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if not is_own(filter):
            raise
        raise UserError(f"the filter {filter.name} raised {blame(error, _file(filter))}") from error


def is_own(filter: Filter) -> bool:
    """Whether its class is the user's and not vlt's."""
    return not type(filter).__module__.startswith("vlt.")


def _together(
    one: pa.RecordBatch, first: Judgement, other: pa.RecordBatch, second: Judgement
) -> Judgement:
    columns = {
        name: pa.concat_arrays(
            [
                first.columns.get(name, one.column(name)),
                second.columns.get(name, other.column(name)),
            ]
        )
        for name in {**first.columns, **second.columns}
    }
    failed = {len(first.keep) + row: reason for row, reason in second.failed.items()}
    return Judgement(
        np.concatenate([first.keep, second.keep]),
        [*_reasons(first), *_reasons(second)],
        columns,
        first.rewritten + second.rewritten,
        {**first.failed, **failed},
    )


def _reasons(part: Judgement) -> Sequence[Reason]:
    """One for each dropped row, none for those that failed."""
    reasons = part.each_reason()
    out = int(np.count_nonzero(~part.keep)) - len(part.failed)
    return reasons[:out]


def _file(filter: Filter) -> str | None:
    try:
        return inspect.getsourcefile(type(filter))
    except (TypeError, OSError):
        return None
