"""A version's Parquet files: layout, order and digest, for rows in memory and rows on disk."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlt.cores import VARIABLE
from vlt.workspace import row_files
from vlt.workspace.row_files import ROW_GROUP, RowFiles
from vlt.workspace.row_group import Part

ROWS = 23_456
A_FILE = 5_000
SCHEMA = pa.schema(
    [("id", pa.int64()), ("response", pa.string()), ("images", pa.list_(pa.string()))]
)


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files, without hundreds of thousands of rows."""
    monkeypatch.setattr(row_files, "ROWS_A_FILE", A_FILE)
    monkeypatch.setattr(row_files, "GROUPS_AHEAD", A_FILE // ROW_GROUP + 1)


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """With nulls in some row groups only, and lists of different lengths."""
    numbers = range(ROWS)
    responses = [None if n % 7 == 0 and n < 3_000 else f"row {n} " * (n % 5) for n in numbers]
    images = [[f"{n}.png"] * (n % 3) for n in numbers]
    return pa.table([list(numbers), responses, images], schema=SCHEMA)


@pytest.fixture(scope="module")
def chosen() -> np.ndarray:
    return np.random.default_rng(1).random(ROWS) < 0.8


@pytest.fixture(params=["1", "2", "7"])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, request.param)


def mapped(rows: pa.Table, file: Path) -> pa.Table:
    """The rows as a table that is mapped from this file."""
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as written:
        written.write_table(rows)
    with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as opened:
        return opened.read_all()


def written(folder: Path) -> pa.Table:
    """What the files hold, in their order, after their layout has been checked."""
    files = sorted(folder.glob("part-*.parquet"))
    groups = [
        [reader.metadata.row_group(n).num_rows for n in range(reader.num_row_groups)]
        for reader in map(pq.ParquetFile, files)
    ]
    assert all(sum(file) == A_FILE for file in groups[:-1])
    assert all(size == ROW_GROUP for file in groups for size in file[:-1])
    return pa.concat_tables(pq.read_table(file) for file in files)


def digest_of(folder: Path, rows: pa.Table) -> str:
    """The digest of rows that are written one after the other."""
    folder.mkdir()
    files = RowFiles(folder, "part", SCHEMA, digested=True)
    for start in range(0, rows.num_rows, 777):
        files.write(rows.slice(start, 777))
    files.close()
    assert written(folder).equals(rows.combine_chunks())
    return files.digest()


@pytest.mark.usefixtures("cores")
def test_rows_on_disk_are_written_like_those_in_memory(
    tmp_path: Path, rows: pa.Table, chosen: np.ndarray
) -> None:
    kept = rows.filter(pa.array(chosen))
    expected = digest_of(tmp_path / "memory", kept)

    folder = tmp_path / "disk"
    folder.mkdir()
    files = RowFiles(folder, "part", SCHEMA, digested=True)
    for start in range(0, ROWS, 2_000):
        piece = mapped(rows.slice(start, 2_000), file := tmp_path / f"{start}.arrow")
        files.write(piece, chosen[start : start + 2_000])
        file.unlink()
    files.close()
    assert files.digest() == expected
    assert written(folder).equals(kept.combine_chunks())


@pytest.mark.usefixtures("cores")
def test_both_kinds_may_follow_each_other(
    tmp_path: Path, rows: pa.Table, chosen: np.ndarray
) -> None:
    files = RowFiles(tmp_path, "part", SCHEMA, digested=True)
    files.write(rows.slice(0, 2_500), chosen[:2_500])
    files.write(rows.slice(2_500, 700))
    files.write(rows.slice(3_200, 2_800), np.zeros(2_800, bool))
    files.write(rows.slice(6_000), chosen[6_000:])
    files.close()
    where = chosen.copy()
    where[2_500:3_200], where[3_200:6_000] = True, False
    kept = rows.filter(pa.array(where))
    assert written(tmp_path).equals(kept.combine_chunks())
    assert files.digest() == digest_of(tmp_path / "memory", kept)


@pytest.mark.usefixtures("cores")
def test_no_rows_are_one_empty_file(tmp_path: Path, rows: pa.Table) -> None:
    files = RowFiles(tmp_path, "part", SCHEMA, digested=True)
    files.write(rows, np.zeros(ROWS, bool))
    files.close()
    assert written(tmp_path).num_rows == 0
    assert [file.name for file in tmp_path.iterdir()] == ["part-00000.parquet"]


def test_files_are_encoded_side_by_side(
    tmp_path: Path, rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a file of rows on disk is being encoded, the next one is begun."""
    monkeypatch.setenv(VARIABLE, "2")
    encode, next_begun = row_files._File.encode, threading.Event()

    def watched(file: row_files._File, group: list[Part]) -> None:
        encode(file, group)
        if file._path.name == "part-00001.parquet":
            next_begun.set()
        else:
            assert file._path.name != "part-00000.parquet" or next_begun.wait(20)

    monkeypatch.setattr(row_files._File, "encode", watched)
    files = RowFiles(tmp_path, "part", SCHEMA, digested=False)
    files.write(rows, np.ones(ROWS, bool))
    files.close()
    assert written(tmp_path).num_rows == ROWS


@pytest.mark.parametrize("number", ["1", "2"])
def test_flush_lets_go_of_mapped_files(
    tmp_path: Path, rows: pa.Table, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    """A network disk cannot remove a folder whose files are still mapped."""
    monkeypatch.setenv(VARIABLE, number)
    files = RowFiles(tmp_path, "part", SCHEMA, digested=True)
    file = tmp_path / "rows.arrow"
    files.write(mapped(rows, file), np.arange(ROWS) % 3 > 0)
    files.flush()
    gc.collect()
    assert str(file) not in Path(f"/proc/{os.getpid()}/maps").read_text()
    files.close()


@pytest.mark.parametrize("on_disk", [True, False])
def test_an_error_of_the_disk_is_raised(
    tmp_path: Path, rows: pa.Table, monkeypatch: pytest.MonkeyPatch, on_disk: bool
) -> None:
    """Also where the writer waits until rows in memory are written."""
    monkeypatch.setenv(VARIABLE, "2")
    monkeypatch.setattr(row_files, "BYTES_AHEAD", 100_000)  # about one row group
    folder = tmp_path / "gone"
    folder.mkdir()
    files = RowFiles(folder, "part", SCHEMA, digested=True)
    files.write(rows.slice(0, 2_000))
    files.flush()
    (folder / "part-00001.parquet").mkdir()  # the second file cannot be opened
    with pytest.raises(OSError, match="part-00001"):
        files.write(rows, np.ones(ROWS, bool) if on_disk else None)
        files.close()
    files.abandon()
