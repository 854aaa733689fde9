"""Data stages that a test carries out on one machine and on a cluster, and what must be the same."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.rows import dataset, item, sample
from vlt.datagen.export.files import parquet_shards, write_jsonl
from vlt.datagen.sources import make_items
from vlt.filters.apply import make_filtered
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.duplicates.file import dedup_file
from vlt.filters.stats import dataset_stats
from vlt.images.store import ImageStore
from vlt.process_pool import pool_folder
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

ITEMS, SAMPLES, PICTURES = 30, 4, 80
PIECE = 4
"""Rows, so that there are some forty pieces."""
QUESTION = "How many of the {} coloured marbles in the big bag are red, if every {} one is?"
MINE = """
import time

def seldom(row):
    if row["sample"] == 3 and row["source"] == "two":
        raise KeyError(row["id"])
    return "7" not in row["id"][:3] or "seldom"

def slow(row):
    time.sleep(0.01)
    return True

def endless(row):
    time.sleep(1)
    return True

def wrong(row):
    return 7 if row["sample"] == 2 and "number 15" in row["question"] else True
"""


def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few rows, which go to a cluster however little is left to do."""
    for name, value in {
        "process_pool.CLUSTER_WORTH": 0,
        "filters.apply.BATCH": PIECE,
        "filters.stats.PIECE": PIECE,
        "filters.duplicates.file.BATCH": PIECE,
        "filters.duplicates.file_texts.BATCH": PIECE,
        "datagen.export.work.ROWS": PIECE,
        "datagen.export.files.GROUP_ROWS": PIECE,
        "datagen.sources.load_on_cluster.ALONE": PIECE,
        "datagen.sources.load.BATCH_ROWS": PIECE,
        "datagen.sources.load_on_cluster.BATCH_ROWS": PIECE,
    }.items():
        monkeypatch.setattr(f"vlt.{name}", value)


def prepare(root: Path) -> None:
    """A workspace with samples and a benchmark, a file of filters, and pictures with questions."""
    (root / "mine.py").write_text(MINE)
    with Workspace(root / "workspace") as workspace:
        pictures = [workspace.images.add(transparent(n)) for n in range(8)]
        rows = [
            sample(
                f"<think>{'Wait, again. ' * (n % 4)}{n} {k}</think> <answer>{n % 5 + (k == n % 4)}</answer>",
                k,
                item(
                    QUESTION.format(n % 30, n % 7) if n % 3 else f"Another one, number {n % 35}",
                    str(n % 5),
                    images=[pictures[n % 8]],
                    source="one two".split()[n % 2],
                ),
                finish_reason="length" if (n + k) % 19 == 5 else "stop",
            )
            for n in range(ITEMS)
            for k in range(SAMPLES)
        ]
        workspace.images.flush()
        dataset(workspace, "samples", "sample", rows)
        dataset(workspace, "bench", "item", [item(QUESTION.format(7, 0)), item("Is it so?")])
    folder = root / "source"
    folder.mkdir()
    with open(folder / "rows.jsonl", "w") as out:
        for n in range(PICTURES):
            name = f"{n % 64}.{'bmp' if n % 16 == 3 else 'png'}"  # a BMP is kept as a PNG
            if n % 20 != 7:  # not there
                broken = b"\x89PNG\r\n no picture" if n % 24 == 11 else None
                (folder / name).write_bytes(broken or picture(n % 64, name[-3:]))
            row = {"question": f"How many, in {n}?", "answer": str(n % 9), "image": name}
            out.write(json.dumps(row) + "\n")


def picture(n: int, format: str = "png") -> bytes:
    """One unlike those of other numbers, which takes a while to decode."""
    drawn = Image.new("RGB", (1_400, 1_000), (n * 2, 255 - n, n * 37 % 255))
    drawn.paste((255, 255, 255), (n * 9, n * 7, n * 9 + 300, n * 7 + 100))
    out = io.BytesIO()
    drawn.save(out, format.upper(), compress_level=1)
    return out.getvalue()


def transparent(n: int) -> bytes:
    """One that exports put on white, which takes a while."""
    out = io.BytesIO()
    Image.new("RGBA", (600, 400), (n * 30, 9, 9, 99)).save(out, "PNG")
    return out.getvalue()


def told(version: Dataset) -> str:
    """The manifest, without what names and times it; digests and ledger are in it."""
    manifest = asdict(version.manifest)
    return json.dumps(
        {k: v for k, v in manifest.items() if k not in ("name", "created", "seconds")}
    )


def imported(root: Path, name: str) -> Any:
    """Items with their images in a workspace of its own, so that no image is there yet."""
    with Workspace(root / f"workspace-{name}") as workspace:
        made, _ = make_items(workspace, str(root / "source" / "rows.jsonl"), name="items")
        with ImageStore(workspace.images_folder, read_only=True) as images:
            pictures = [images.read(sha) for row in made.rows() for sha in row["images"]]
            count = len(images)
    return told(made), made.table(), made.dropped.table(), pictures, count


def filtered(root: Path, name: str, *chain: Any) -> Any:
    """Samples through a chain."""
    with Workspace(root / "workspace") as workspace:
        made, existed = make_filtered(workspace, workspace.open("samples"), chain=chain, name=name)
    assert not existed
    return told(made), made.table(), made.dropped.table()


def verified(root: Path, name: str) -> Any:
    """By row filters, one of them in a file, and a whole one between them."""
    mine = str(root / "mine.py")
    return filtered(root, name, "verify", f"{mine}:seldom", {"select": "distinct"}, f"{mine}:slow")


def deduped(root: Path, name: str) -> Any:
    """Near duplicates, and what a benchmark asks."""
    near = {"near_dedup": {"keep": "shortest"}}
    against = {"decontaminate": {"against": "bench", "ngram": 4}}
    return filtered(root, name, f"{root / 'mine.py'}:slow", "dedup", near, against)


def deduped_file(root: Path, name: str) -> Any:
    """Near duplicates in a Parquet file."""
    [file] = Workspace(root / "workspace").open("samples").files
    to, gone = root / f"{name}.parquet", root / f"{name}-gone.parquet"
    with pool_folder(root) as folder:
        dedup_file(file, to, ["question"], Scratch(folder), near=True, dropped=gone)
    return pq.read_table(to), pq.read_table(gone)


def counted(root: Path, _name: str) -> Any:
    """Statistics."""
    return json.dumps(dataset_stats(Workspace(root / "workspace").open("samples")))


def exported(root: Path, name: str) -> Any:
    """Parquet with images inside, which a push sends, and JSONL with images beside."""
    workspace, to = Workspace(root / "workspace"), root / f"export-{name}"
    with ImageStore(workspace.images_folder, read_only=True) as images:
        version = workspace.open("samples")
        list(parquet_shards(version, images, to, size=4_000))
        write_jsonl(version, images, to / "lines")
    return {str(f.relative_to(to)): f.read_bytes() for f in sorted(to.rglob("*")) if f.is_file()}


STAGES: dict[str, Callable[[Path, str], Any]] = {
    "import": imported,
    "filter": verified,
    "dedup": deduped,
    "dedup file": deduped_file,
    "stats": counted,
    "export": exported,
}
