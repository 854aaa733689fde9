"""What GRPO sampled and the verdicts: one small file per step, merged at the end.

A file is named after its step, so a resumed run overwrites it and records nothing twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.grade import Grade

SCHEMA = pa.schema(
    [
        ("step", pa.int64()),  # of the optimizer when the completion was sampled
        ("id", pa.string()),
        ("response", pa.string()),
        ("accuracy", pa.float32()),  # null if left out, since the grader could not tell
        ("verdict", pa.string()),
        ("verdict_reason", pa.string()),
        ("predicted", pa.string()),
    ]
)
HINTS = pa.schema(
    [
        ("hint", pa.string()),  # the text before the response; null if none
        ("hint_share", pa.float32()),  # its share of the trace's thought
    ]
)


class Verdicts:
    """Keeps every sampled completion with its verdict, and with `hints`, its hint."""

    def __init__(self, folder: Path, *, hints: bool = False):
        self.folder = folder
        self.schema = pa.schema([*SCHEMA, *HINTS]) if hints else SCHEMA
        self.folder.mkdir(exist_ok=True)
        self.rank = os.environ.get("RANK", "0")

    def record(
        self,
        texts: Sequence[str],
        values: Sequence[float | None],
        grades: Sequence[Grade],
        columns: Mapping[str, Any],
    ) -> None:
        """Write one batch; `columns` are those that TRL passes to a reward function."""
        step = columns["trainer_state"].global_step
        hints = [
            pa.array(columns[name], self.schema.field(name).type)
            for name in self.schema.names[len(SCHEMA) :]
        ]
        table = pa.Table.from_arrays(
            [
                pa.array([step] * len(texts), pa.int64()),
                pa.array(columns["id"], pa.string()),
                pa.array(texts, pa.string()),
                pa.array(values, pa.float32()),
                pa.array([g.verdict for g in grades], pa.string()),
                pa.array([g.reason for g in grades], pa.string()),
                pa.array([g.predicted for g in grades], pa.string()),
                *hints,
            ],
            schema=self.schema,
        )
        pq.write_table(table, self.folder / f"{step:08d}-{self.rank}.parquet")

    def merge(self, file: Path, steps: int) -> None:
        """Write every step below `steps` as one table, from the first process."""
        if self.rank != "0":
            return
        with pq.ParquetWriter(file, self.schema, compression="zstd") as writer:
            for part in sorted(self.folder.glob("*.parquet")):
                if int(part.name.partition("-")[0]) < steps:
                    writer.write_table(pq.read_table(part))
