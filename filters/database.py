"""DuckDB for joins, grouping and windows: bounded memory, spilling to disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Scratch:
    """Where a filter may put what does not fit into memory, and how much memory it may take."""

    folder: Path
    memory: str = "1GB"
    """DuckDB's limit."""
    threads: int = 2

    def connect(self) -> Any:
        """A DuckDB connection in memory that spills into the folder."""
        import duckdb

        return duckdb.connect(
            config={
                "memory_limit": self.memory,
                "threads": self.threads,
                "temp_directory": str(self.folder / "duckdb"),
                "preserve_insertion_order": False,
            }
        )

    def query(self, sql: str, **tables: pa.Table) -> pa.Table:
        """The result of one query over Arrow tables that it names."""
        with self.connect() as connection:
            for name, table in tables.items():
                connection.register(name, table)
            return connection.sql(sql).to_arrow_table()
