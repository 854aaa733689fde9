"""Deduplication of a Parquet file, without a workspace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.corpus import free_text, score, template_text
from vlt.errors import UsageError, UserError
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.duplicates.file import dedup_file


def scratch(folder: Path) -> Scratch:
    """Room for DuckDB."""
    return Scratch(folder, "500MB")


def test_near_dedup_of_a_file_finds_what_was_planted(tmp_path: Path) -> None:
    free_text(6_000, tmp_path, np.random.default_rng(1))
    done = dedup_file(
        tmp_path / "corpus.parquet",
        tmp_path / "kept.parquet",
        ["text"],
        scratch(tmp_path),
        near=True,
        dropped=tmp_path / "dropped.parquet",
    )
    found = score(tmp_path / "kept.parquet", tmp_path)
    assert found["recall exact"] == 1
    assert found["recall >= 0.8"] >= 0.97
    assert found["precision"] >= 0.999
    kept = pq.read_table(tmp_path / "kept.parquet")
    assert kept.schema.names == ["id", "question", "trace", "text"]
    dropped = pq.read_table(tmp_path / "dropped.parquet")
    assert done.kept == kept.num_rows == 6_000 - dropped.num_rows
    assert set(dropped["kept"].to_pylist()) <= set(kept["id"].to_pylist())


def test_templates_do_not_make_distinct_rows_alike(tmp_path: Path) -> None:
    template_text(20_000, tmp_path, np.random.default_rng(1))
    file, kept = tmp_path / "corpus.parquet", tmp_path / "kept.parquet"
    dedup_file(file, kept, ["text"], scratch(tmp_path), near=True)
    found = score(kept, tmp_path)
    assert found["precision"] >= 0.999
    assert found["recall"] >= 0.97


def test_exact_dedup_of_a_file(tmp_path: Path) -> None:
    texts = ["one two", "One two ", None, "three", None, "one  two", "", "THREE"]
    pq.write_table(pa.table({"id": list("abcdefgh"), "t": texts}), tmp_path / "in.parquet")
    for keep, ids in (("first", "acdefg"), ("shortest", "acdefg")):
        done = dedup_file(
            tmp_path / "in.parquet",
            tmp_path / "out.parquet",
            ["t"],
            scratch(tmp_path),
            keep=keep,
            columns=["id"],
        )
        kept = pq.read_table(tmp_path / "out.parquet")
        assert kept.to_pydict() == {"id": list(ids)}
    assert (done.rows, done.kept, done.clusters) == (8, 6, 2)


def test_the_shortest_text_of_a_cluster_stays(tmp_path: Path) -> None:
    base = " ".join(f"word{i}" for i in range(60))
    texts = [base + " and so on", base, "something else entirely"]
    pq.write_table(pa.table({"id": [1, 2, 3], "t": texts}), tmp_path / "in.parquet")
    out = tmp_path / "out.parquet"
    dedup_file(tmp_path / "in.parquet", out, ["t"], scratch(tmp_path), near=True, keep="shortest")
    assert pq.read_table(out)["id"].to_pylist() == [2, 3]


def test_an_empty_file_and_one_without_rows_to_drop(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"id": pa.array([], pa.int64()), "t": pa.array([], pa.string())}),
        tmp_path / "in.parquet",
    )
    for near in (False, True):
        out = tmp_path / "out.parquet"
        done = dedup_file(tmp_path / "in.parquet", out, ["t"], scratch(tmp_path), near=near)
        assert (done.rows, done.kept) == (0, 0)


def test_what_cannot_be_deduped_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    with pytest.raises(UserError, match="does not exist"):
        dedup_file(file, tmp_path / "o", ["t"], scratch(tmp_path))
    file.write_text("no parquet")
    with pytest.raises(UserError, match="is not a Parquet file"):
        dedup_file(file, tmp_path / "o", ["t"], scratch(tmp_path))
    pq.write_table(pa.table({"t": ["a"]}), file)
    with pytest.raises(UserError, match="has no column 'id'; it has t"):
        dedup_file(file, tmp_path / "o", ["t"], scratch(tmp_path))
    pq.write_table(pa.table({"id": [1], "t": ["a"]}), file)
    with pytest.raises(UserError, match="has no column 'text'"):
        dedup_file(file, tmp_path / "o", ["text"], scratch(tmp_path))
    with pytest.raises(UsageError, match="is the input file"):
        dedup_file(file, file, ["t"], scratch(tmp_path))


def test_the_command_dedups_a_file_without_a_workspace(tmp_path: Path) -> None:
    file, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], "t": ["a b", "A b", "c"]}), file)
    command = [sys.executable, "-m", "vlt.cli.main", "dedup", str(file), "--on", "t"]
    command += ["--to", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)["kept"] == 2
    assert not (tmp_path / "workspace").exists()
