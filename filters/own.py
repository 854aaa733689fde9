"""A user's function as a filter, over a row or over a batch of rows.

    def no_apologies(row):                          # a dict: every column of the row
        return "sorry" not in row["response"] or "apologises"

    def short(batch, limit=500):                    # a pyarrow.RecordBatch, since it is called `batch`
        return pc.less(pc.utf8_length(batch["response"]), limit)

What it may return for a row: True keeps it; False, a reason, or a pair (what the ledger counts, what differs
from row to row) drops it; a dict keeps it with these columns replaced. For a batch: a list or an array
with one such value per row. Parameters after the first are settings.

Many rows are judged in several processes (see vlt.process_pool), so a function that keeps state from row
to row must be marked `@vlt.filter(stateful=True)`.

A row for which it raises is not kept, and counts as failed with the error as its reason; any other return
value stops the run with an error message.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from vlt.errors import UsageError, UserError
from vlt.filters.protocol import Judgement, everything, with_found
from vlt.filters.settings import fitting
from vlt.plugins import Plugin, blame, mark_of
from vlt.workspace.reason import Reason
from vlt.workspace.schema import ITEM

KEYS = (*(name for name in ITEM.names if name != "meta"), "sample", "model")
"""Columns that identify the row; a filter may not replace them."""
WANTED = "return True to keep a row, False or a reason to drop it, or a dict of columns to replace"


@dataclass(frozen=True)
class Own:
    """Judges each row with a user's function; see `own_filter`."""

    name: str = field(default="", init=False)
    columns: tuple[str, ...] = field(default=(), init=False)
    """Those that the function is marked to read; empty means all."""
    plugin: Plugin = field(default_factory=lambda: Plugin("", None), init=False)
    given: Mapping[str, Any] = field(default_factory=dict, init=False)
    """Its settings, defaults included."""
    batch: bool = field(default=False, init=False)

    def identity(self) -> dict[str, Any]:
        """The settings and the digest of the function's source."""
        return {**self.given, **self.plugin.identity}

    def __getstate__(self) -> dict[str, Any]:
        """For another process; a stateful function must see all rows in order and is not sent there."""
        if (mark := mark_of(self.plugin.object)) and mark.stateful:
            raise pickle.PicklingError(f"{self.name} is stateful")
        return dict(self.__dict__)

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Row by row, or by batch; a batch for which the function raises is retried row by row."""
        seen = rows.select(list(self.columns)) if self.columns else rows
        said: list[Any] = []
        failed: dict[int, Reason] = {}
        if self.batch:
            try:
                said = self._of_batch(seen)
            except _Raised:
                for row in range(rows.num_rows):
                    said += self._one(row, failed, self._of_batch, seen.slice(row, 1))
        else:
            for number, row in enumerate(seen.to_pylist()):
                said += self._one(number, failed, self._of_row, row)
        return self._judgement(rows, said, failed)

    def _one(self, number: int, failed: dict[int, Reason], judge: Any, given: Any) -> list[Any]:
        try:
            return judge(given)
        except _Raised as raised:
            failed[number] = Reason(f"{self.name} raised {raised.kind}", raised.detail)
            return [True]

    def _of_row(self, row: dict[str, Any]) -> list[Any]:
        return [self._called(row)]

    def _of_batch(self, rows: pa.RecordBatch) -> list[Any]:
        said = self._called(rows)
        if isinstance(said, pa.Array | pa.ChunkedArray):
            said = said.to_pylist()
        elif not isinstance(said, list | tuple):
            said = said.tolist() if hasattr(said, "tolist") else said
        if not isinstance(said, list | tuple) or len(said) != rows.num_rows:
            raise UserError(
                f"{self.plugin.source} returned {_short(said)} for a batch of {rows.num_rows:,} rows; return "
                "a list or an array with one value for each row"
            )
        return list(said)

    def _called(self, given: Any) -> Any:
        function = self.plugin.object
        try:
            return function(given, **self.given)
        except (Exception, SystemExit) as error:
            raise _Raised(error, self._file) from error

    @cached_property
    def _file(self) -> str | None:
        try:
            return inspect.getsourcefile(inspect.unwrap(self.plugin.object))
        except TypeError:
            return None

    def _judgement(
        self, rows: pa.RecordBatch, said: Sequence[Any], failed: Mapping[int, Reason]
    ) -> Judgement:
        keep, reasons = everything(rows), []
        replaced: dict[int, Mapping[str, Any]] = {}
        for row, word in enumerate(said):
            if isinstance(word, bool | np.bool_):
                if word:
                    continue
                reasons.append(Reason("rejected"))
            elif isinstance(word, str) and word.strip():
                reasons.append(Reason(word))
            elif isinstance(word, tuple) and len(word) == 2 and all(type(w) is str for w in word):
                reasons.append(Reason(*word))
            elif isinstance(word, Mapping):
                replaced[row] = word
                continue
            else:
                row_id = rows.column("id")[row].as_py()
                raise UserError(
                    f"{self.plugin.source} returned {_short(word)} for the row {row_id}; {WANTED}"
                )
            keep[row] = False
        keep[list(failed)] = False
        columns = self._columns(rows, replaced)
        return Judgement(keep, reasons, columns, rewritten=len(replaced), failed=failed)

    def _columns(
        self, rows: pa.RecordBatch, replaced: Mapping[int, Mapping[str, Any]]
    ) -> dict[str, pa.Array]:
        columns: dict[str, pa.Array] = {}
        for name in dict.fromkeys(name for row in replaced.values() for name in row):
            if name in KEYS or name not in rows.schema.names:
                can = [column for column in rows.schema.names if column not in KEYS]
                raise UserError(
                    f"{self.plugin.source} replaces the column {name!r}; it may replace "
                    f"{', '.join(can)}"
                )
            values = rows.column(name).to_pylist()
            for row, new in replaced.items():
                if name in new:
                    values[row] = new[name]
            try:
                columns[name] = pa.array(values, rows.schema.field(name).type)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
                raise UserError(
                    f"{self.plugin.source} puts a value into the column {name!r} that does not fit it: "
                    f"{' '.join(str(error).split())}"
                ) from None
        return columns


class _Raised(Exception):
    """The function raised."""

    def __init__(self, error: BaseException, file: str | None):
        super().__init__()
        self.kind = type(error).__name__
        self.detail = blame(error, file).removeprefix(self.kind).lstrip(": ")


def own_filter(plugin: Plugin, values: Mapping[str, Any]) -> Own:
    """The filter of a user's function; raises UsageError if the settings do not fit the function."""
    try:
        first, *others = inspect.signature(plugin.object).parameters.values()
    except (ValueError, TypeError):
        raise UsageError(
            f"{plugin.source} takes no argument; a filter is a function of a row or of a batch"
        ) from None
    mark = mark_of(plugin.object)
    named = first.name == "batch" or str(first.annotation).rstrip("'>").endswith("RecordBatch")
    return with_found(
        Own(),
        name=plugin.name,
        columns=(mark and mark.columns) or (),
        plugin=plugin,
        given=_given(plugin, others, values),
        batch=named or bool(mark and mark.batch),
    )


def _given(
    plugin: Plugin, parameters: Sequence[inspect.Parameter], values: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings with which the function is called."""
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for name in values:
        if name not in known and not any_name:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{plugin.source} has no setting {name!r}; {has}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in values:
            raise UsageError(f"{plugin.source} needs {name}; give it as a setting: {{{name}: ...}}")
    try:
        hints = inspect.get_annotations(plugin.object, eval_str=True)
    except (NameError, TypeError, AttributeError):  # names that exist only for the type checker
        hints = {}
    defaults = {
        name: parameter.default
        for name, parameter in known.items()
        if isinstance(parameter.default, str | int | float | bool | None)
    }
    fitted = {
        name: fitting(plugin.source, name, hints[name], value) if name in hints else value
        for name, value in values.items()
    }
    return {**defaults, **fitted}


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"{text} (of type {type(value).__name__})"
