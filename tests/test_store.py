"""Versions, refs, locks, and a writer that lets no row vanish."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.rows import dataset, item, sample
from vlt.errors import UsageError, UserError
from vlt.filters.apply import make_filtered
from vlt.workspace.manifest import Ledger, Stage, key_sum
from vlt.workspace.row_files import ROW_GROUP
from vlt.workspace.schema import ITEM, KINDS
from vlt.workspace.store import FORMAT, Store
from vlt.workspace.writer import Writer


def items(n: int) -> list[dict[str, object]]:
    return [item(f"question {i}", str(i)) for i in range(n)]


def table(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=ITEM)


def test_a_version_is_what_was_written(workspace: Path) -> None:
    store = Store(workspace)
    made = dataset(store, "items", "item", items(25_000))
    opened = store.open("items")
    assert opened.ref == made.ref == "items@v1"
    assert opened.table().to_pylist() == items(25_000)
    assert opened.manifest.rows == opened.manifest.rows_in == 25_000
    assert pq.ParquetFile(opened.files[0]).metadata.num_row_groups == 25_000 // ROW_GROUP


def test_an_empty_version_has_a_file_with_all_columns(workspace: Path) -> None:
    made = dataset(Store(workspace), "items", "item", [])
    assert made.table().schema == ITEM
    assert pq.read_schema(made.files[0]) == ITEM


def test_refs(workspace: Path) -> None:
    store = Store(workspace)
    for number in (1, 2, 3):
        stage = Stage("test", {"seed": number})
        with Writer(store, stage, "items", "item", round=min(number, 2)):
            pass
    assert [store.open(ref).manifest.version for ref in ("items", "items@v1", "items@r2")] == [
        3,
        1,
        3,
    ]
    for ref, word in (("nothing", "nothing"), ("items@v9", "items@v9"), ("items@r7", "items@r7")):
        with pytest.raises(UserError, match=word):
            store.open(ref)
    with pytest.raises(UsageError, match="does not name"):
        store.open("../etc@v1")


def test_identity_hangs_on_stage_parameters_and_content(workspace: Path) -> None:
    store = Store(workspace)
    parent, same = dataset(store, "a", "item", items(3)), dataset(store, "b", "item", items(3))
    other = dataset(store, "c", "item", items(4))
    assert parent.manifest.digest == same.manifest.digest != other.manifest.digest
    with Writer(store, Stage("filter", {"words": 5}), "out", "item", [parent]):
        pass
    assert store.find("out", Stage("filter", {"words": 5}), [same]) is not None
    assert store.find("out", Stage("filter", {"words": 6}), [parent]) is None
    assert store.find("out", Stage("filter", {"words": 5}), [other]) is None
    assert store.find("another", Stage("filter", {"words": 5}), [parent]) is None


def test_dropped_and_failed_rows_stay_with_their_reasons(workspace: Path) -> None:
    store, rows = Store(workspace), table(items(4))
    with Writer(store, Stage("test", {}), "out", "item") as writer:
        writer.expect(rows)
        writer.keep(rows.slice(0, 1))
        writer.drop(rows.slice(1, 2), "words", ["over 500 words (612)", "over 500 words (700)"])
        writer.fail(rows.slice(3), ["error 500: the server is on fire"])
    m = writer.dataset.manifest
    assert (m.rows_in, m.rows, m.dropped, m.failed) == (
        4,
        1,
        {"words": {"over 500 words": 2}},
        {"error 500": 1},
    )
    gone = writer.dataset.dropped.table().to_pylist()
    assert [r["filter"] for r in gone] == ["words", "words", "failed"]
    assert gone[2]["reason"] == "error 500: the server is on fire"


@pytest.mark.parametrize(
    "kept", [slice(0, 2), slice(0, 4)], ids=["a row vanished", "a row was invented"]
)
def test_a_stage_that_loses_or_invents_a_row_writes_nothing(workspace: Path, kept: slice) -> None:
    store, rows = Store(workspace), items(4)
    with (
        pytest.raises(AssertionError, match="lost, invented or repeated"),
        Writer(store, Stage("test", {}), "out", "item") as writer,
    ):
        writer.expect(table(rows[:3]))
        writer.keep(table(rows[kept]))
    assert store.versions("out") == []
    assert not list((workspace / "datasets" / "out").glob("*/part-*"))


def test_a_swapped_row_is_noticed_though_the_counts_agree() -> None:
    ledger, rows = Ledger(), table(items(4))
    ledger.expect(rows.slice(0, 3))
    ledger.settle(rows.slice(1, 3))
    ledger.kept = 3
    with pytest.raises(AssertionError, match="lost"):
        ledger.check()


def test_key_sum_takes_any_id_and_any_slice() -> None:
    rows = table(items(10))
    each = sum(key_sum(rows.slice(i, 1)) for i in range(10))
    assert each % 2**64 == key_sum(rows) % 2**64
    odd = pa.table({"id": ["a", "bb", "é" * 40]})
    assert key_sum(odd) == key_sum(odd.take([2, 0, 1])) != key_sum(odd.slice(1))
    ids = [*rows["id"].to_pylist(), *odd["id"].to_pylist()]
    mixed = pa.table({"id": ids})
    parts = [key_sum(mixed.slice(i, 5)) for i in range(0, len(ids), 5)]
    assert sum(parts) % 2**64 == key_sum(mixed)


def test_nothing_of_a_version_stays_when_its_stage_fails(workspace: Path) -> None:
    store = Store(workspace)
    with (
        pytest.raises(ZeroDivisionError),
        Writer(store, Stage("test", {}), "out", "item") as writer,
    ):
        writer.keep(table(items(3)))
        raise ZeroDivisionError
    assert store.versions("out") == []
    assert [p.name for p in (workspace / "datasets" / "out").iterdir()] == [".lock"]


WRITE_AND_WAIT = """
import sys, time
from vlt.workspace.store import Store
from vlt.workspace.manifest import Stage
from vlt.workspace.row_files import ROW_GROUP
from vlt.workspace.writer import Writer
with Writer(Store(sys.argv[1]), Stage("test", {}), "out", "item"):
    print("writing", flush=True)
    time.sleep(60)
"""


def test_two_writers_of_one_name_and_a_killed_one(workspace: Path) -> None:
    store = Store(workspace)
    child = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_WAIT, str(workspace)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    with (
        pytest.raises(UserError, match=f"process {child.pid}"),
        Writer(store, Stage("test", {}), "out", "item"),
    ):
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert store.versions("out") == []
    assert dataset(store, "out", "item", items(2)).ref == "out@v1"


def test_a_workspace_of_a_newer_version_is_refused(workspace: Path) -> None:
    dataset(Store(workspace), "items", "item", items(1))
    assert json.loads((workspace / "workspace.json").read_text()) == {"format": FORMAT}
    (workspace / "workspace.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="format 99"):
        Store(workspace)


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("")
    with pytest.raises(UserError, match="is a file"):
        Store(tmp_path / "w")


def test_a_column_that_an_older_release_did_not_write_is_null(workspace: Path) -> None:
    store = Store(workspace)
    made = dataset(store, "samples", "sample", [sample("a"), sample("b", 1)])
    for file in made.files:
        pq.write_table(pq.read_table(file).drop_columns(["cut", "caption"]), file)
    old = store.open("samples")
    assert old.table().schema.equals(KINDS["sample"])
    assert old.table(["id", "cut"])["cut"].to_pylist() == [None, None]
    assert [batch.schema.names for batch in old.batches(["id", "cut"])] == [["id", "cut"]]
    kept, _ = make_filtered(store, old, chain=["verify", {"select": "first"}, "dedup"])
    assert kept.manifest.rows_in == 2


def test_two_kinds_do_not_share_a_name(workspace: Path) -> None:
    store = Store(workspace)
    dataset(store, "mine", "item", items(1))
    for kind in ("caption", "sample"):
        with (
            pytest.raises(
                UserError, match=f"already holds items \\(mine@v1\\) and cannot also hold {kind}s"
            ),
            Writer(store, Stage("test", {}), "mine", kind),
        ):
            pass
    with (
        pytest.raises(UserError, match="cannot also hold checkpoints"),
        store.lock("mine", "checkpoint"),
    ):
        pass
    assert [version.ref for version in store.versions("mine")] == ["mine@v1"]
    assert dataset(store, "mine", "item", items(2)).ref == "mine@v2"
