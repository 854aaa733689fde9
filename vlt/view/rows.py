"""Rows of one version, queried by DuckDB in a connection that can open only this version's files.

A query reads narrow columns and returns where the rows are; only those rows are then read, in small
batches, so that neither a million rows nor a response of a megabyte fills the memory. The places of a
query's first rows are cached (a version never changes), so stepping through the results of a search
does not search again. A page without filters needs no query.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.errors import UsageError, UserError
from vlt.view.state import JUDGED, NONE, State
from vlt.workspace.judgements import COLUMN, verdict_sql
from vlt.workspace.schema import dropped as dropped_schema
from vlt.workspace.store import Dataset

MEMORY = "160MB"
SECONDS = 30.0
"""Time limit of a query."""
FACETS = (
    *("source", "answer_type", "answer_source", "verdict", "finish_reason"),
    *("model", "filter"),
)
MANY = 12
"""A column with more values than this is not offered as a filter."""
TEXTS = ("id", "question", "answer", "caption", "response", "predicted", "meta", "reason")
HELD = 2_000
"""How many rows of a query's result are cached."""
QUERIES = 8
"""How many queries of a version are cached."""
_QUERIES = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class Place:
    """Where a row is, and its key."""

    id: str
    sample: int | None
    file: str
    row: int


class Rows:
    """The kept or the dropped rows of a version."""

    def __init__(self, dataset: Dataset, *, dropped: bool = False):
        self.dataset = dataset
        self.files = [str(file) for file in (dataset.dropped if dropped else dataset).files]
        schema = dropped_schema(dataset.schema) if dropped else dataset.schema
        if self.files:  # an older release did not write all columns
            with self._reading():
                there = set(pq.read_schema(self.files[0]).names)
            schema = pa.schema([f for f in schema if f.name in there])
        self.columns = list(schema.names)
        self.scalars = [f.name for f in schema if not pa.types.is_list(f.type)]
        counts = [*dataset.manifest.dropped.values(), dataset.manifest.failed]
        self.all = sum(sum(c.values()) for c in counts) if dropped else dataset.manifest.rows
        self._held: dict[State, list[Place]] = {}
        self._counts: dict[State, int] = {}

    def count(self, state: State) -> int:
        """How many rows match the state."""
        if not state.filtered or not self.files:
            return self.all
        held = self._first(state)
        if len(held) < HELD:
            return len(held)
        key = replace(state, page=1, sort="", down=False)
        counted = self._counts.get(key)
        if counted is None:
            with self._query(state) as rows:
                counted = int(rows.aggregate("count(*)").fetchall()[0][0])
            self._counts[key] = counted
        return counted

    def places(self, state: State, limit: int, offset: int) -> list[Place]:
        """The rows from `offset`, in the state's order."""
        if not self.files:
            return []
        if not state.filtered and not state.sort:
            return list(self._as_written(limit, offset))
        held = self._first(state)
        if len(held) < HELD or offset + limit <= HELD:
            return held[offset : offset + limit]
        return self._find(state, limit, offset)

    def _first(self, state: State) -> list[Place]:
        """The first HELD rows that match the state."""
        key = replace(state, page=1)
        held = self._held.get(key)
        if held is None:
            held = self._find(state, HELD, 0)
            if len(self._held) >= QUERIES:
                self._held.clear()
                self._counts.clear()
            self._held[key] = held
        return held

    def _as_written(self, limit: int, offset: int) -> Iterator[Place]:
        key = [c for c in ("id", "sample") if c in self.columns]
        start = 0
        with self._reading():
            for file in self.files:
                rows = pq.read_metadata(file).num_rows
                here = range(max(0, offset - start), min(rows, offset + limit - start))
                for row, values in _read(file, list(here), key) if here else ():
                    yield Place(values["id"], values.get("sample"), file, row)
                start += rows
                if start >= offset + limit:
                    return

    def _find(self, state: State, limit: int, offset: int) -> list[Place]:
        with self._query(state) as rows:
            if state.sort:
                direction = "desc" if state.down else "asc"
                rows = rows.order(
                    f"{_name(state.sort)} {direction} nulls last, filename, file_row_number"
                )
            # Sort before projecting, since the projection drops the sort column.
            found = rows.limit(limit, offset).project(self._key()).fetchall()
        return [Place(*row) for row in found]

    def of(self, row_id: str) -> list[Place]:
        """Every row of one item."""
        if not self.files:
            return []
        with self._query(State()) as rows:
            found = rows.filter(f"id = {_text(row_id)}").project(self._key()).fetchall()
        return [Place(*row) for row in found]

    def starting(self, beginning: str) -> list[str]:
        """Up to two ids with this beginning."""
        if not self.files:
            return []
        with self._query(State()) as rows:
            some = rows.filter(f"starts_with(id, {_text(beginning)})").project("id").distinct()
            return [row[0] for row in some.limit(2).fetchall()]

    def facets(self) -> dict[str, list[tuple[str, int]]]:
        """Column -> its values with their row counts, for columns with few values."""
        found: dict[str, list[tuple[str, int]]] = {}
        if not self.files:
            return found
        with self._query(State()) as rows:
            for column in (c for c in FACETS if c in self.columns):
                counts = rows.aggregate(f"{column}, count(*) as n", column)
                values = counts.order("n desc").limit(MANY + 1).fetchall()
                if 1 < len(values) <= MANY:
                    found[column] = [(NONE if v is None else v, n) for v, n in values]
            for rubric in self._rubrics(rows):
                counts = rows.aggregate(f"{verdict_sql(rubric)} as said, count(*) as n", "said")
                values = counts.order("n desc").fetchall()
                found[JUDGED + rubric] = [(NONE if v is None else v, n) for v, n in values]
        return found

    def _rubrics(self, rows: Any) -> list[str]:
        """The rubrics that rows were judged by, at most MANY."""
        if COLUMN not in self.columns:
            return []
        every = rows.project(f"unnest({COLUMN}).rubric as rubric").distinct().order("rubric")
        return [rubric for (rubric,) in every.limit(MANY).fetchall()]

    def read(self, places: Sequence[Place], columns: Sequence[str]) -> list[dict[str, Any]]:
        """The rows at these places, in order."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for file in {place.file for place in places}:
            wanted = sorted({place.row for place in places if place.file == file})
            with self._reading():
                for row, values in _read(file, wanted, list(columns)):
                    found[file, row] = values
        return [found[place.file, place.row] for place in places]

    def position(self, place: Place) -> int:
        """How many rows come before it, in the order in which they were written."""
        before = self.files[: self.files.index(place.file)]
        return sum(pq.read_metadata(file).num_rows for file in before) + place.row

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{self.dataset.ref} cannot be read ({error})") from None

    def _key(self) -> str:
        sample = "sample" if "sample" in self.columns else "cast(null as int)"
        return f"id, {sample}, filename, file_row_number"

    @contextmanager
    def _query(self, state: State) -> Iterator[Any]:
        """The rows that match the state, as a DuckDB relation.

        Raises UsageError with DuckDB's message if the state's SQL does not fit the rows, or takes too
        much time or memory; UserError if the files cannot be read.
        """
        import duckdb

        with _QUERIES, duckdb.connect(config={"memory_limit": MEMORY, "threads": 2}) as database:
            paths = ", ".join(_text(file) for file in self.files)
            database.execute(
                f"set temp_directory = ''; set allowed_paths = [{paths}]; "
                "set enable_external_access = false; set python_enable_replacements = false; "
                "set lock_configuration = true"
            )
            alarm = threading.Timer(SECONDS, database.interrupt)
            alarm.start()
            try:
                rows = database.read_parquet(self.files, filename=True, file_row_number=True)
                for condition in self._conditions(state):
                    rows = rows.filter(condition)
                if state.where:  # an expression, not a statement: DuckDB parses it as such
                    rows = rows.filter(state.where)
                yield rows
            except duckdb.InterruptException:
                raise UsageError(
                    f"the query took more than {SECONDS:.0f} seconds and was stopped; narrow it down"
                ) from None
            except duckdb.OutOfMemoryException:
                raise UsageError(
                    f"the query needs more than {MEMORY} of memory; narrow it down"
                ) from None
            except duckdb.Error as error:
                words = " ".join(str(error).split("\n\n")[0].split())
                if not state.where:
                    raise UserError(f"{self.dataset.ref} cannot be read ({words})") from None
                raise UsageError(
                    f"the condition {state.where[:200]!r} does not fit {self.dataset.ref} ({words}); "
                    f"its columns are {', '.join(self.columns)}"
                ) from None
            finally:
                alarm.cancel()

    def _seen(self, column: str) -> str:
        """The SQL of a column, or of the verdict by a rubric."""
        if not column.startswith(JUDGED):
            return _name(column)
        rubric = column.removeprefix(JUDGED).replace("\0", "")
        return f"({verdict_sql(rubric)})" if COLUMN in self.columns else "null"

    def _conditions(self, state: State) -> list[str]:
        conditions = []
        for column, value in state.equal:
            seen = self._seen(column)
            equal = f"cast({seen} as varchar) = {_text(value)}"
            conditions.append(f"{seen} is null" if value == NONE else equal)
        if state.q:
            texts = [c for c in TEXTS if c in self.columns]
            wanted = _text(state.q.lower())
            conditions.append(
                " or ".join(f"contains(lower(coalesce({c}, '')), {wanted})" for c in texts)
            )
        return conditions


def _read(file: str, wanted: list[int], columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number, values) of these rows; reads only their row groups, a few rows at a time."""
    with pq.ParquetFile(Path(file)) as opened:
        start = 0
        for group in range(opened.num_row_groups):
            end = start + opened.metadata.row_group(group).num_rows
            here = [row for row in wanted if start <= row < end]
            at = start
            if here:
                batches = opened.iter_batches(64, row_groups=[group], columns=columns)
                for batch in batches:
                    for row in [r for r in here if at <= r < at + batch.num_rows]:
                        yield row, batch.slice(row - at, 1).to_pylist()[0]
                    at += batch.num_rows
                    if at > here[-1]:
                        break
            start = end


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("\0", "").replace("'", "''") + "'"
