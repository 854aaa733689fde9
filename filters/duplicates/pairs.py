"""Items that decontamination dropped, each beside the benchmark question it matched, for a human check."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.workspace.store import REF, Dataset, Store

REASON = re.compile(r"(words|image): as in (\S+) (\S+) \((.*)\)")
"""As contamination/decontaminate.py writes it: how, dataset, id, how near."""
COLUMNS = ("how", "near", "id", "question", "benchmark", "their_id", "their_question")
SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])


def pairs_of(store: Store, dataset: Dataset) -> list[dict[str, Any]]:
    """One pair for each item that decontamination dropped, in the rows' order (see COLUMNS)."""
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    wanted: dict[str, set[str]] = {}
    for batch in dataset.dropped.batches(["filter", "reason", "id", "question"]):
        for row in batch.to_pylist():
            found = REASON.fullmatch(row["reason"] or "")
            if row["filter"] != "decontaminate" or not found:
                continue
            how, benchmark, their_id, near = found.groups()
            wanted.setdefault(benchmark, set()).add(their_id)
            pairs.setdefault(
                (row["id"], their_id),
                {
                    "how": how,
                    "near": near,
                    "id": row["id"],
                    "question": row["question"],
                    "benchmark": benchmark,
                    "their_id": their_id,
                    "their_question": None,
                },
            )
    asked = {name: _questions(store, name, ids) for name, ids in wanted.items()}
    for pair in pairs.values():
        pair["their_question"] = asked[pair["benchmark"]].get(pair["their_id"])
    return list(pairs.values())


def write_pairs(file: Path, pairs: list[dict[str, Any]]) -> None:
    """As CSV, JSON lines or Parquet, by the file's ending."""
    import json

    import pyarrow.csv
    import pyarrow.parquet

    table = pa.Table.from_pylist(pairs, schema=SCHEMA)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".csv":
        pyarrow.csv.write_csv(table, file)
    elif file.suffix == ".parquet":
        pyarrow.parquet.write_table(table, file)
    else:
        lines = [json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs]
        file.write_text("".join(lines), encoding="utf-8")


def _questions(store: Store, benchmark: str, ids: set[str]) -> dict[str, str]:
    """id -> question, for these ids; empty if the version no longer exists."""
    name = REF.fullmatch(benchmark)
    if not name or benchmark not in [d.ref for d in store.versions(name["name"])]:
        return {}
    found = {}
    for batch in store.open(benchmark).batches(["id", "question"]):
        for id, question in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            if id in ids:
                found[id] = question
    return found
