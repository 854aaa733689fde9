"""Rows of a version by SQL, through DuckDB over its Parquet files."""

from __future__ import annotations

from typing import Any

from vlt.errors import UsageError
from vlt.workspace.store import Dataset


def rows_of(
    dataset: Dataset,
    *,
    where: str | None = None,
    columns: str = "*",
    limit: int | None = 5,
    dropped: bool = False,
) -> list[dict[str, Any]]:
    """Rows in their order, as dicts; `where` is a SQL condition on the version's columns.

    Raises UsageError with DuckDB's message if the condition is invalid.
    """
    import duckdb

    files = [str(file) for file in (dataset.dropped if dropped else dataset).files]
    if not files:
        return []
    with duckdb.connect() as connection:
        try:
            rows = connection.read_parquet(files)
            if where:
                rows = rows.filter(where)
            rows = rows.project(columns)
            if limit is not None:
                rows = rows.limit(limit)
            found: list[dict[str, Any]] = rows.to_arrow_table().to_pylist()
        except duckdb.Error as error:
            words = " ".join(str(error).split("\n\n")[0].split())
            raise UsageError(
                f"--where {where!r} does not fit {dataset.ref} ({words}); "
                f"`vlt show {dataset.manifest.name} -n 1` shows its columns"
            ) from None
    return found
