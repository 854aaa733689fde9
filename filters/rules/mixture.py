"""How many rows of each source? (paper, Table 2.)"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa

from vlt.errors import UsageError
from vlt.fields import Option
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.protocol import Judgement
from vlt.workspace.reason import Reason


@dataclass(frozen=True)
class Mixture:
    """Keeps a random number of rows per source; the draw depends on seed and id, not on the order of rows."""

    name: ClassVar[str] = "mixture"
    columns: ClassVar[tuple[str, ...]] = ("id", "source", "sample")
    of_items: ClassVar[bool] = True

    rows: Annotated[Mapping[str, int], Option("--mixture", metavar="SOURCE=N")] = field(
        default_factory=dict
    )
    """Rows to keep of a source; repeatable."""
    others: int | None = None
    """Rows to keep of each source that is not named; None keeps all of them, 0 none."""
    seed: Annotated[int, Option("--seed", metavar="N")] = 0
    """With --mixture: the seed of the draw [0]."""

    def __post_init__(self) -> None:
        if not self.rows and self.others is None:
            raise UsageError("mixture names no source; write source: rows, e.g. clevr: 1000")
        for source, rows in self.rows.items():
            if rows < 0:
                raise UsageError(f"mixture: {rows} rows of {source!r} is negative; give 0 or more")

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """source, sample and the row's lot: a 64-bit hash of seed and id."""
        import pandas as pd

        key = hashlib.blake2b(str(self.seed).encode(), digest_size=8).hexdigest()
        ids = rows.column("id").to_numpy(zero_copy_only=False)
        sample = rows.column("sample") if "sample" in rows.schema.names else None
        return pa.RecordBatch.from_pydict(
            {
                "source": rows.column("source").dictionary_encode().dictionary_decode(),
                "sample": pa.nulls(len(ids), pa.int32()) if sample is None else sample,
                "lot": pa.array(pd.util.hash_array(ids, hash_key=key, categorize=False)),
            }
        )

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:
        """The lowest lots of each source."""
        table = view.append_column("place", pa.array(np.arange(len(view))))
        ranked = scratch.query(
            """
            select source, row_number() over (
                partition by source order by lot, sample, place) as rank
            from rows order by place
            """,
            rows=table,
        )
        sources = [source or "" for source in ranked["source"].to_pylist()]
        endless = len(view) + 1
        others = endless if self.others is None else self.others
        limit = np.array([self.rows.get(source, others) for source in sources], np.int64)
        keep = ranked["rank"].to_numpy() <= limit
        return Judgement(keep, Reason("beyond its source's rows"))
