"""What a filter is: one of two protocols, both plain frozen dataclasses whose fields are settings.

A *row filter* judges each row independently, a batch at a time. A *whole filter* must see all rows at
once (the shortest response of an item, duplicates): it reduces each batch to a narrow view, and
decides over the views of all rows.

With many rows, `judge` and `view` run in several processes, each with a pickled copy of the filter; the
value of a `Once` is pickled with it.

What else a filter of either kind may have:

    of_items: ClassVar[bool] = True     it judges items: one that it drops is not trained on
    def prepared(workspace, parents)    see Prepares: what it must look up in the workspace
    def identity()                      see Identifies: replaces settings, such as a path, in its identity

To add one, copy a file of filters/rules/ and register it in registry.py, in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from threading import Lock
from typing import Any, ClassVar, Generic, Protocol, TypeGuard, TypeVar, runtime_checkable

import numpy as np
import pyarrow as pa

from vlt.filters.duckdb_scratch import Scratch
from vlt.workspace.reason import Reason
from vlt.workspace.row_group import Mask
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

Found = TypeVar("Found")
Ready = TypeVar("Ready")


@dataclass
class Judgement:
    """What a filter decides about n rows."""

    keep: Mask
    """[n]; False drops the row."""
    reasons: Reason | Sequence[Reason] = ()
    """Why: one for all dropped rows, or one for each of them in order."""
    columns: dict[str, pa.Array] = field(default_factory=dict)
    """Columns [n] that replace the rows' own, in dropped rows too."""
    rewritten: int = 0
    """Rows whose text was changed."""
    failed: Mapping[int, Reason] = field(default_factory=dict)
    """Row -> why it could not be judged, e.g. an error in the user's code. It is not kept."""

    def each_reason(self) -> Sequence[Reason]:
        """One reason for each dropped row."""
        if isinstance(self.reasons, Reason):
            return [self.reasons] * int(np.count_nonzero(~self.keep))
        # A user's filter may well give a generator.
        return self.reasons if hasattr(self.reasons, "__len__") else list(self.reasons)


class RowFilter(Protocol):
    """Judges rows one by one."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """Its name in a recipe and in the column `filter` of dropped rows."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Never needs another batch, and may run in a different process for each."""
        ...


class WholeFilter(Protocol):
    """Judges each row in view of all the others."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The few bytes of each row that the decision needs, row for row."""
        ...

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:
        """Decides over the views of all rows that reach it, in their order; `columns` stays empty."""
        ...


Filter = RowFilter | WholeFilter


@runtime_checkable
class Prepares(Protocol):
    """A filter that must look something up in the workspace, or refuse the datasets."""

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> Filter:
        """The same filter, ready to run (see `with_found`); called before its version is looked up.

        It is called on every run, so it must be quick: expensive work belongs in a `Once`. Datasets
        that it holds in `references` affect the result and become parents of the new version.

        Args:
            parents: The datasets whose rows it will see.
        """
        ...


@runtime_checkable
class Identifies(Protocol):
    """A filter with a setting, such as a path, that should not be part of its identity."""

    def identity(self) -> dict[str, Any]:
        """What replaces such settings in the identity."""
        ...


class Once(Generic[Found]):
    """A value that is computed at the first call, and then kept; threads wait for each other."""

    def __init__(self, find: Callable[[], Found]):
        self._find, self._lock = find, Lock()
        self._found: list[Found] = []

    def __call__(self) -> Found:
        with self._lock:
            if not self._found:
                self._found.append(self._find())
        return self._found[0]

    def __reduce__(self) -> Any:
        """Pickled with its value, which is not computed again in the other process."""
        return _as_found, (self(),)


def _as_found(found: Found) -> Once[Found]:
    return Once(lambda: found)


def _unprepared() -> Any:
    raise AssertionError("prepared() must be called before the first row")


NEVER: Once[Any] = Once(_unprepared)
"""The placeholder for what `prepared` finds, until it is called."""


def with_found(filter: Ready, **found: Any) -> Ready:
    """A copy of a filter (a frozen dataclass) with these fields set."""
    ready = copy(filter)
    for name, value in found.items():
        object.__setattr__(ready, name, value)
    return ready


def is_whole(filter: Filter) -> TypeGuard[WholeFilter]:
    """Whether it needs the views of all rows."""
    return hasattr(filter, "decide")


def settings(filter: Filter) -> dict[str, Any]:
    """The filter as a recipe may write it, with every setting explicit: its identity."""
    found = {f.name: getattr(filter, f.name) for f in fields(filter) if f.init}
    if isinstance(filter, Identifies):
        found.update(filter.identity())
    found.update(getattr(filter, "own", {}))
    return {"filter": filter.name, **found}


def everything(rows: pa.RecordBatch | pa.Table) -> Mask:
    """A mask that keeps every row."""
    return np.ones(rows.num_rows, bool)
