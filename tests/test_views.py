"""What whole filters decide over lies on disk, not in memory, and is gone afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vlt.filters.duplicates.exact import without
from vlt.filters.duplicates.mapped import mapped
from vlt.filters.duplicates.minhash import common_grams, concatenated, sketched
from vlt.filters.duplicates.near_dedup import as_column, from_column
from vlt.filters.protocol import Judgement
from vlt.filters.views import Views

SCHEMA = pa.schema([("id", pa.string()), ("key", pa.uint64())])


def batch(start: int, rows: int) -> pa.RecordBatch:
    places = np.arange(start, start + rows)
    return pa.RecordBatch.from_pydict(
        {"id": [f"{i:064x}" for i in places], "key": places.astype(np.uint64)}, schema=SCHEMA
    )


def test_views_are_read_from_a_file_that_has_no_name(tmp_path: Path) -> None:
    views = Views(tmp_path)
    before = pa.total_allocated_bytes()
    for start in range(0, 50_000, 5_000):
        views.add(batch(start, 5_000))
    assert views.rows == 50_000
    assert [file.suffix for file in tmp_path.iterdir()] == [".arrow"]
    table = views.table()
    assert pa.total_allocated_bytes() - before < 100_000  # of 4 MB
    assert table.nbytes > 3_000_000
    assert table.equals(pa.Table.from_batches([batch(0, 50_000)]))
    assert not list(tmp_path.iterdir())


def test_views_of_another_schema_are_refused(tmp_path: Path) -> None:
    views = Views(tmp_path)
    views.add(batch(0, 1))
    with pytest.raises(pa.ArrowInvalid, match="schema"):
        views.add(pa.RecordBatch.from_pydict({"id": ["a"]}))


def test_sketches_from_their_column_are_mapped_and_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # None, one, short ones, one of more grams than are kept, and one that is empty.
    parts = []
    for sizes in ([], [3], [40, 0, 7], [500, 60]):
        texts = [" ".join(f"w{i}" for i in rng.integers(0, 999, size)) for size in sizes]
        parts.append(sketched(pa.array(texts, pa.string()), common_grams([])))
    column = pa.chunked_array([as_column(part) for part in parts])
    found, wanted = from_column(column, tmp_path), concatenated(parts)
    assert len(found) == 6
    for name in ("bands", "bins", "grams", "offsets", "counts", "numbers"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert isinstance(found.bins, np.memmap)
    assert found.bands[:, 0].flags.contiguous
    assert not list(tmp_path.iterdir())


def test_no_sketches_at_all(tmp_path: Path) -> None:
    nothing = sketched(pa.array([], pa.string()), common_grams([]))
    assert len(from_column(pa.chunked_array([as_column(nothing)]), tmp_path)) == 0


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="it is not reserved there")
def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="large|space"):
        mapped(tmp_path, (1 << 55,), np.uint8)
    assert not list(tmp_path.iterdir())


def test_reasons_of_duplicates_are_made_when_asked_for() -> None:
    gone = pa.table({"place": [1, 3], "kept": ["a", "b"], "cluster": ["00", "ff"]})
    judged = without(pa.table({"id": list("abcd")}), gone, "same question")
    assert judged.keep.tolist() == [True, False, True, False]
    reasons = judged.each_reason()
    assert [(r.kind, r.detail) for r in reasons] == [
        ("same question", "as a, cluster 00"),
        ("same question", "as b, cluster ff"),
    ]
    assert reasons[1] == list(reasons)[1]
    assert list(reasons[1:]) == list(reasons)[1:]
    assert len(reasons) == 2


def test_reasons_may_come_from_a_generator() -> None:
    (reason,) = without(
        pa.table({"id": ["a"]}), pa.table({"place": [0], "kept": ["a"], "cluster": ["00"]}), "same"
    ).each_reason()
    judged = Judgement(np.zeros(2, bool), (reason for _ in range(2)))  # type: ignore[arg-type]
    assert list(judged.each_reason()) == [reason, reason]
