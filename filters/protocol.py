"""What a filter is: one of two shapes, both plain frozen dataclasses whose fields are settings.

A *row filter* judges each row by itself, a batch at a time. A *whole filter* must see all rows at
once (the shortest response of an item, duplicates): it boils each batch down to a narrow view, and
decides over the view of everything.

Where there are many rows, `judge` and `view` run in several processes, each with a pickled copy of the
filter: what is found in a `Once` goes with it.

What else a filter may have, both shapes alike:

    of_items: ClassVar[bool] = True     it judges items, so that one it takes out is no item to train on
    def prepared(workspace, parents)    see Prepares: what it must look up in the workspace
    def identity()                      see Identifies: settings, such as a path, that are not its identity

Copy a file of filters/rules/ and register it in registry.py, in one line.
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
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

Found = TypeVar("Found")
Ready = TypeVar("Ready")
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass
class Judgement:
    """What a filter says about n rows."""

    keep: Mask
    """[n]; False takes the row out."""
    reasons: Reason | Sequence[Reason] = ()
    """Why: one for all the rows taken out, or one for each of them in order."""
    columns: dict[str, pa.Array] = field(default_factory=dict)
    """Columns [n] to be put in the place of the row's own, also in the rows taken out."""
    rewritten: int = 0
    """Rows whose text was changed."""
    failed: Mapping[int, Reason] = field(default_factory=dict)
    """Row -> why it could not be judged: an error of the user's own code, say. It is not kept."""

    def each_reason(self) -> list[Reason]:
        """One reason for each row taken out."""
        if isinstance(self.reasons, Reason):
            return [self.reasons] * int(np.count_nonzero(~self.keep))
        return list(self.reasons)


class RowFilter(Protocol):
    """Judges rows one by one."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """As in a recipe and in the column `filter` of dropped rows."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Never needs another batch, and may run in another process than those before."""
        ...


class WholeFilter(Protocol):
    """Judges rows by all the others."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The few bytes of each row that the decision needs, row for row."""
        ...

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:
        """Over the views of all rows that came this far, in their order; `columns` stays empty."""
        ...


Filter = RowFilter | WholeFilter


@runtime_checkable
class Prepares(Protocol):
    """A filter that must look something up in the workspace, or refuse the datasets."""

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> Filter:
        """The same filter, ready (see `with_found`), before its version is looked for.

        It is asked each time, so it must be quick: what costs belongs into a `Once`. Where it holds
        datasets in `references`, the rows hang on them, and they become parents of the new version.

        Args:
            parents: The datasets whose rows come.
        """
        ...


@runtime_checkable
class Identifies(Protocol):
    """A filter with a setting, such as a path, that is not what its identity should hang on."""

    def identity(self) -> dict[str, Any]:
        """What stands in the place of such settings."""
        ...


class Once(Generic[Found]):
    """What is found when it is first asked for, and then kept; threads wait for each other."""

    def __init__(self, find: Callable[[], Found]):
        self._find, self._lock = find, Lock()
        self._found: list[Found] = []

    def __call__(self) -> Found:
        with self._lock:
            if not self._found:
                self._found.append(self._find())
        return self._found[0]

    def __reduce__(self) -> Any:
        """It goes to another process as what was found, which is not looked for there again."""
        return _as_found, (self(),)


def _as_found(found: Found) -> Once[Found]:
    return Once(lambda: found)


def _unprepared() -> Any:
    raise AssertionError("prepared() comes before the first row")


NEVER: Once[Any] = Once(_unprepared)
"""In the place of what `prepared` finds, until it has."""


def with_found(filter: Ready, **found: Any) -> Ready:
    """A copy of a filter (a frozen dataclass) that holds what was found under these names."""
    ready = copy(filter)
    for name, value in found.items():
        object.__setattr__(ready, name, value)
    return ready


def is_whole(filter: Filter) -> TypeGuard[WholeFilter]:
    """Whether it needs the view of everything."""
    return hasattr(filter, "decide")


def settings(filter: Filter) -> dict[str, Any]:
    """The filter as a recipe may write it, every setting spelt out: its identity."""
    found = {f.name: getattr(filter, f.name) for f in fields(filter) if f.init}
    if isinstance(filter, Identifies):
        found.update(filter.identity())
    found.update(getattr(filter, "own", {}))
    return {"filter": filter.name, **found}


def everything(rows: pa.RecordBatch | pa.Table) -> Mask:
    """A mask that keeps every row."""
    return np.ones(rows.num_rows, bool)
