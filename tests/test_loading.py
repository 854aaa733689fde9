"""A version's folder, opened with common libraries, gives the kept rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli import vlt, vlt_json
from tests.rows import dataset, item
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import ITEM
from vlt.workspace.store import FORMAT, Dataset, Store
from vlt.workspace.writer import Writer

ROWS = [item(f"question {i}", str(i)) for i in range(9)]
KEPT = [row["id"] for row in ROWS[:4]]


def by_datasets(folder: Path) -> list[str]:
    from datasets import load_dataset

    loaded = load_dataset(str(folder), split="train", cache_dir=str(folder.parents[3] / "cache"))
    return list(loaded["id"])


def by_streaming(folder: Path) -> list[str]:
    from datasets import load_dataset

    return [row["id"] for row in load_dataset(str(folder), split="train", streaming=True)]


def by_duckdb(folder: Path) -> list[str]:
    import duckdb

    return [id for (id,) in duckdb.sql(f"select id from '{folder}/*.parquet'").fetchall()]


def by_duckdb_at_any_depth(folder: Path) -> list[str]:
    import duckdb

    return [id for (id,) in duckdb.sql(f"select id from '{folder}/**/*.parquet'").fetchall()]


def by_pandas(folder: Path) -> list[str]:
    import pandas as pd

    return list(pd.read_parquet(folder)["id"])


def by_pyarrow(folder: Path) -> list[str]:
    found: list[str] = pq.read_table(folder)["id"].to_pylist()
    return found


def by_polars(folder: Path) -> list[str]:
    polars: Any = pytest.importorskip("polars")
    lazily = list(polars.scan_parquet(folder).collect()["id"])
    assert lazily == list(polars.read_parquet(f"{folder}/*.parquet")["id"])
    return list(polars.read_parquet(folder)["id"])


LOADERS = [
    by_datasets,
    by_streaming,
    by_duckdb,
    by_duckdb_at_any_depth,
    by_pandas,
    by_pyarrow,
    by_polars,
]


def filtered(store: Store, name: str = "sft") -> Dataset:
    """Four rows kept, three dropped, two failed."""
    rows = pa.Table.from_pylist(ROWS, schema=ITEM)
    parent = dataset(store, "items", "item", ROWS)
    with Writer(store, Stage("test", {}), name, "item", [parent]) as writer:
        writer.expect(rows)
        writer.keep(rows.slice(0, 4))
        writer.drop(rows.slice(4, 3), "length", ["over 500 words"] * 3)
        writer.fail(rows.slice(7), ["error 500"] * 2)
    return writer.dataset


@pytest.mark.parametrize("load", LOADERS)
def test_a_folder_gives_the_rows_that_were_kept(
    workspace: Path, load: Callable[[Path], list[str]]
) -> None:
    version = filtered(Store(workspace))
    assert version.path == workspace / "datasets" / "sft" / "v1"
    assert load(version.path) == KEPT


def test_the_dropped_rows_have_a_face_of_their_own(workspace: Path) -> None:
    version = filtered(Store(workspace))
    dropped = version.dropped
    assert len(dropped) == 5 and len(dropped.files) == 1
    assert dropped.table() == dropped.to_arrow()
    assert dropped.table().schema == dropped.schema
    frame = dropped.to_pandas()
    assert list(frame["filter"]) == ["length"] * 3 + ["failed"] * 2
    assert list(frame["id"]) == [row["id"] for row in ROWS[4:]]
    (batch,) = dropped.batches(["reason"])
    assert batch.column("reason").to_pylist() == ["over 500 words"] * 3 + ["error 500"] * 2
    assert list(version.to_pandas(["id"])["id"]) == KEPT
    whole = dataset(Store(workspace), "whole", "item", ROWS)
    assert len(whole.dropped) == 0 and whole.dropped.to_pandas().empty
    assert "reason" in whole.dropped.table().schema.names


def as_format_1(workspace: Path) -> None:
    """What this workspace's datasets were before: all files of a version in one folder."""
    for manifest in (workspace / "provenance").glob("*/v*/manifest.json"):
        old = workspace / "datasets" / manifest.parent.parent.name / manifest.parent.name
        for file in manifest.parent.iterdir():
            shutil.move(file, old / file.name)
    shutil.rmtree(workspace / "provenance")
    (workspace / "workspace.json").write_text(json.dumps({"format": 1}))


def test_a_workspace_of_the_format_before_is_read_and_goes_on(workspace: Path) -> None:
    store = Store(workspace)
    made = filtered(store)
    as_format_1(workspace)
    old = store.open("sft")
    assert old.path == old.provenance == made.path
    assert (old.table(), old.dropped.table()) == (
        made.table(),
        Store(workspace).open("sft").dropped.table(),
    )
    assert len(old.dropped) == 5
    assert "error 500" in vlt("show", "sft", "--dropped", "-n", "9", "-w", workspace)
    assert json.loads((workspace / "workspace.json").read_text()) == {"format": 1}, "only read"
    assert store.find("sft", Stage("test", {}), [store.open("items")]) == old
    new = filtered(store)
    assert new.ref == "sft@v2" and [v.ref for v in store.versions("sft")] == ["sft@v1", "sft@v2"]
    assert by_pandas(new.path) == KEPT
    assert json.loads((workspace / "workspace.json").read_text()) == {"format": FORMAT}
    listed = vlt_json("ls", "-w", workspace)
    assert {(v["name"], v["version"]) for v in listed} >= {("items", 1), ("sft", 1), ("sft", 2)}


def test_a_version_whose_rows_were_deleted_is_gone_and_its_name_free(workspace: Path) -> None:
    store = Store(workspace)
    shutil.rmtree(filtered(store).path)
    assert store.versions("sft") == []
    with Writer(store, Stage("test", {"another": 1}), "sft", "item"):
        pass
    again = store.open("sft@v1")
    assert again.manifest.rows == 0 and len(again.dropped) == 0
