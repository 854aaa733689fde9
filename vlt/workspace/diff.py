"""The differences between two versions: rows by key, verdicts, distributions, parameters.

DuckDB joins the two on their keys and spills to disk, so a million rows need no more memory than
`MEMORY`. Rows are equal if the columns that both kinds have are equal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vlt.errors import UsageError
from vlt.segment import words_in_sql
from vlt.workspace.store import Dataset

MEMORY = "1GB"
COUNTED = ("source", "answer_type", "verdict", "finish_reason", "model")
"""Columns whose values are counted."""
MEASURED = {
    "words of the response": words_in_sql("response"),
    "words of the reasoning": words_in_sql("reasoning"),
    "words of the caption": words_in_sql("caption"),
    "completion tokens": "completion_tokens",
}
"""Measures of a row, as SQL over its columns."""
VALUES = 20
"""Maximum values of a column that are listed; the rest are counted together."""


@dataclass(frozen=True)
class Sides:
    """A connection with the two versions as the views a and b, and their key."""

    connection: Any
    key: tuple[str, ...]
    columns: tuple[str, ...]
    """The columns that both have."""

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query, as dicts."""
        found: list[dict[str, Any]] = self.connection.sql(sql).to_arrow_table().to_pylist()
        return found

    def one(self, sql: str) -> Any:
        """The single value of a query."""
        return self.connection.sql(sql).fetchall()[0][0]

    @property
    def on(self) -> str:
        """The condition that joins a row of a with its row of b."""
        return " and ".join(f"a.{name} = b.{name}" for name in self.key)


def diff(a: Dataset, b: Dataset, *, examples: int = 3) -> dict[str, Any]:
    """A JSON object with the changes from `a` to `b`.

    `rows` counts added, gone, changed and equal rows, `columns` the changed rows by column, `gone_by`
    the filters that dropped the gone ones, if `b` records them; `flips` counts rows by verdict in a and
    b, and `examples` has a few of each flip; `values` and `lengths` are the distributions side by
    side; `parameters` are those that differ. Raises UsageError for a checkpoint and a dataset.
    """
    if (a.kind == "checkpoint") != (b.kind == "checkpoint"):
        raise UsageError(
            f"{a.ref} is of kind {a.kind} and {b.ref} of kind {b.kind}; compare two checkpoints, or "
            "two datasets"
        )
    found: dict[str, Any] = {
        "a": a.ref,
        "b": b.ref,
        "same_content": a.manifest.digest == b.manifest.digest,
        "parameters": changed_parameters(a, b),
    }
    if a.kind == "checkpoint":
        return found
    with tempfile.TemporaryDirectory(prefix="vlt-diff-") as folder, _opened(a, b, folder) as sides:
        return {
            **found,
            "key": list(sides.key),
            **_rows(sides, b),
            **_flips(sides, examples),
            "values": _values(sides),
            "lengths": _lengths(sides),
        }


def changed_parameters(a: Dataset, b: Dataset) -> dict[str, list[Any]]:
    """dotted name -> [in a, in b], for stage, parameters and parents; None if one has none."""
    ours, theirs = (dict(_flat(_provenance(version))) for version in (a, b))
    names = [*ours, *(name for name in theirs if name not in ours)]
    return {
        name: [ours.get(name), theirs.get(name)]
        for name in names
        if ours.get(name) != theirs.get(name)
    }


def _provenance(version: Dataset) -> dict[str, Any]:
    manifest = version.manifest
    parents = {p.name: f"{p.ref} ({p.digest[:12]})" for p in manifest.parents}
    return {"stage": manifest.stage, "parents": parents, **manifest.parameters}


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


class _opened:
    """The two versions as views of one connection that spills into `folder`."""

    def __init__(self, a: Dataset, b: Dataset, folder: str):
        self.versions, self.folder = {"a": a, "b": b}, folder

    def __enter__(self) -> Sides:
        import duckdb

        self.connection = duckdb.connect(
            config={"memory_limit": MEMORY, "temp_directory": self.folder}
        )
        for view, version in self.versions.items():
            self._view(view, [str(file) for file in version.files], version)
            if dropped := version.dropped.files:
                self._view(f"{view}_dropped", [str(file) for file in dropped], version)
        a, b = self.versions.values()
        columns = tuple(name for name in a.schema.names if name in b.schema.names)
        return Sides(self.connection, self._key(columns), columns)

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def _view(self, name: str, files: list[str], version: Dataset) -> None:
        if files:
            self.connection.read_parquet(files).create_view(name)
        else:  # a version without rows may have no file
            self.connection.register(name, version.schema.empty_table())

    def _key(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """id, and the sample's number if one of the two has several samples of an item."""
        if "sample" not in columns:
            return ("id",)
        several = "select count(*) > count(distinct id) from "
        if any(self.connection.sql(several + view).fetchall()[0][0] for view in self.versions):
            return ("id", "sample")
        return ("id",)


def _rows(sides: Sides, b: Dataset) -> dict[str, Any]:
    compared = [name for name in sides.columns if name not in sides.key]
    differs = [f"count(*) filter (a.{c} <> b.{c}) as {c}" for c in compared]
    anything = " or ".join(f"a.{c} <> b.{c}" for c in compared) or "false"
    # The join uses 64-bit hashes (of null too), not the texts: a response may have a megabyte.
    hashes = ", ".join([*sides.key, *(f"hash({c}) as {c}" for c in compared)])
    [both] = sides.rows(
        f"select count(*) as n, count(*) filter ({anything}) as changed, {', '.join(differs)} "
        f"from (select {hashes} from a) a join (select {hashes} from b) b on {sides.on}"
    )
    n, changed = both.pop("n"), both.pop("changed")
    of_a, of_b = (sides.one(f"select count(*) from {view}") for view in ("a", "b"))
    rows = {"a": of_a, "b": of_b, "added": of_b - n, "gone": of_a - n}
    found: dict[str, Any] = {"rows": {**rows, "changed": changed, "same": n - changed}}
    found["columns"] = {name: count for name, count in both.items() if count}
    found["gone_by"] = {}
    if rows["gone"] and b.dropped.files:
        gone = sides.rows(
            "select coalesce(d.filter, 'failed') as filter, count(*) as n "
            f"from a join b_dropped d on {sides.on.replace('b.', 'd.')} "
            f"anti join b on {sides.on} group by 1 order by 2 desc, 1"
        )
        found["gone_by"] = {row["filter"]: row["n"] for row in gone}
    return found


def _flips(sides: Sides, examples: int) -> dict[str, Any]:
    """Rows by verdict in a and verdict in b, and examples of those that differ."""
    if "verdict" not in sides.columns:
        return {}
    pairs = f"from a join b on {sides.on} where (a.verdict is not null or b.verdict is not null)"
    counted = sides.rows(
        "select coalesce(a.verdict, 'none') as a, coalesce(b.verdict, 'none') as b, count(*) as n "
        f"{pairs} group by 1, 2 order by 1, 2"
    )
    flips = {f"{row['a']} -> {row['b']}": row["n"] for row in counted}
    key = ", ".join(f"a.{name}" for name in sides.key)
    few = (
        f"select {key} {pairs} and a.verdict is distinct from b.verdict "
        f"qualify row_number() over (partition by a.verdict, b.verdict order by {key}) <= {examples}"
    )
    shown = sides.rows(
        "select a.verdict as verdict_a, b.verdict as verdict_b, a.id, a.question, a.answer, "
        "a.predicted as predicted_a, b.predicted as predicted_b, "
        "a.response as response_a, b.response as response_b "
        f"from ({few}) few join a using ({', '.join(sides.key)}) join b on {sides.on} "
        f"order by verdict_a, verdict_b, {key}"
    )
    return {"flips": flips, "examples": shown}


def _values(sides: Sides) -> dict[str, list[dict[str, Any]]]:
    """Column -> rows {value, a, b}, the most frequent first."""
    found = {}
    for column in (name for name in COUNTED if name in sides.columns):
        counts = sides.rows(
            "select value, coalesce(x.n, 0) as a, coalesce(y.n, 0) as b from "
            f"(select {column} as value, count(*) as n from a group by 1) x full join "
            f"(select {column} as value, count(*) as n from b group by 1) y using (value) "
            "where value is not null "
            "order by greatest(coalesce(x.n, 0), coalesce(y.n, 0)) desc, value"
        )
        if len(counts) > VALUES:
            rest = counts[VALUES:]
            both = {side: sum(row[side] for row in rest) for side in ("a", "b")}
            counts = [*counts[:VALUES], {"value": f"{len(rest)} others", **both}]
        if counts:
            found[column] = counts
    return found


def _lengths(sides: Sides) -> dict[str, dict[str, list[float] | None]]:
    """Measure -> a and b -> [5th, 25th, 50th, 75th, 95th percentile]; None without rows."""
    found = {}
    for title, sql in MEASURED.items():
        if not any(name in sides.columns and name in sql for name in sides.columns):
            continue
        column = f"quantile_disc({sql}, [0.05, 0.25, 0.5, 0.75, 0.95])"
        both = {view: sides.one(f"select {column} from {view}") for view in ("a", "b")}
        if any(both.values()):
            found[title] = both
    return found
