"""DuckDB for joins, grouping and windows: bounded memory, spilling to disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.errors import UsageError, UserError


@dataclass(frozen=True)
class Scratch:
    """Where a filter may spill what does not fit into memory, and how much memory it may use."""

    folder: Path
    memory: str = "1GB"
    """DuckDB's limit."""
    threads: int = 2

    def connect(self) -> Any:
        """A DuckDB connection in memory that spills into the folder.

        Raises UsageError if `memory` is not a size.
        """
        import duckdb

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            return duckdb.connect(
                config={
                    "memory_limit": self.memory,
                    "threads": self.threads,
                    "temp_directory": str(self.folder / "duckdb"),
                    "preserve_insertion_order": False,
                }
            )
        except (duckdb.ParserException, duckdb.InvalidInputException) as error:
            words = " ".join(str(error).split())
            raise UsageError(
                f"--memory {self.memory!r} is not a size ({words}); write e.g. --memory 1GB"
            ) from None

    def query(self, sql: str, **tables: pa.Table) -> pa.Table:
        """The result of one query over the Arrow tables that it names.

        Raises UserError if the memory limit is too low even with spilling.
        """
        import duckdb

        with self.connect() as connection:
            for name, table in tables.items():
                connection.register(name, table)
            try:
                return connection.sql(sql).to_arrow_table()
            except duckdb.OutOfMemoryException:
                rows = max((len(table) for table in tables.values()), default=0)
                raise UserError(
                    f"{self.memory} of memory is too little for DuckDB to process {rows:,} rows, even "
                    "with spilling to disk; give more, e.g. --memory 1GB"
                ) from None
