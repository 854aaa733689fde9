"""What a filter is: one of two shapes, both plain frozen dataclasses whose fields are settings.

A *row filter* judges each row by itself, a batch at a time. A *whole filter* must see all rows at
once (the shortest response of an item, duplicates): it boils each batch down to a narrow view, and
decides over the view of everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

import numpy as np
import pyarrow as pa

from vlt.filters.duckdb_scratch import Scratch
from vlt.workspace.store import Dataset, Store

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass
class Judgement:
    """What a filter says about n rows."""

    keep: Mask
    """[n]; False takes the row out."""
    reasons: str | Sequence[str] = ""
    """Why: one for all the rows taken out, or one for each of them in order. What differs from row
    to row stands behind a colon, so that the ledger can count the rest."""
    columns: dict[str, pa.Array] = field(default_factory=dict)
    """Columns [n] to be put in the place of the row's own, also in the rows taken out."""
    rewritten: int = 0
    """Rows whose text was changed."""

    def each_reason(self) -> list[str]:
        """One reason for each row taken out."""
        if isinstance(self.reasons, str):
            return [self.reasons] * int(np.count_nonzero(~self.keep))
        return list(self.reasons)


class RowFilter(Protocol):
    """Judges rows one by one."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]
    """As in a recipe and in the column `filter` of dropped rows."""
    columns: ClassVar[tuple[str, ...]]
    """The columns that it reads."""
    threads: ClassVar[bool]
    """Whether `judge` may run in a thread beside others (not where it has processes of its own)."""

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Never needs another batch."""
        ...


class WholeFilter(Protocol):
    """Judges rows by all the others."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The few bytes of each row that the decision needs, row for row."""
        ...

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:
        """Over the views of all rows that came this far, in their order; `columns` stays empty."""
        ...


Filter = RowFilter | WholeFilter


@runtime_checkable
class Prepares(Protocol):
    """A filter that must look something up before the first row comes."""

    def prepared(self, store: Store, parents: Sequence[Dataset]) -> Filter:
        """The same filter, ready; `parents` are the datasets whose rows come."""
        ...


@runtime_checkable
class Identifies(Protocol):
    """A filter with a setting, such as a path, that is not what its identity should hang on."""

    def identity(self) -> dict[str, Any]:
        """What stands in the place of such settings."""
        ...


def is_whole(filter: Filter) -> TypeGuard[WholeFilter]:
    """Whether it needs the view of everything."""
    return hasattr(filter, "decide")


def settings(filter: Filter) -> dict[str, Any]:
    """The filter as a recipe may write it, every setting spelt out: its identity."""
    found = {f.name: getattr(filter, f.name) for f in fields(filter) if f.init}
    if isinstance(filter, Identifies):
        found.update(filter.identity())
    return {"filter": filter.name, **found}


def everything(rows: pa.RecordBatch | pa.Table) -> Mask:
    """A mask that keeps every row."""
    return np.ones(rows.num_rows, bool)
