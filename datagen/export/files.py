"""Versions as standalone files: Parquet with embedded images, or JSONL with image files.

    for shard in parquet_shards(dataset, images, folder): ...     # train-00000-of-00003.parquet, ...

Shards are planned by size before the first is written, so the same version always gives the same files:
an interrupted push finds what it has already sent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.datagen.export.cells import image_file
from vlt.datagen.export.work import any_row, embedded_groups, lines_of
from vlt.errors import UsageError
from vlt.images.store import ImageStore
from vlt.workspace.features import embedded
from vlt.workspace.files import replaced
from vlt.workspace.pieces import alone
from vlt.workspace.progress import report_progress
from vlt.workspace.store import Dataset

SHARD_BYTES = 400 << 20
GROUP_ROWS, GROUP_BYTES = 200, 32 << 20
"""Maximum of a row group: the Hub's viewer reads whole ones, and they determine the memory use."""
BATCH = 2_000
REPORT_ROWS = 64
"""Rows between two reports of the progress."""


@dataclass(frozen=True)
class Shard:
    """Rows [start, start + rows) of a version."""

    number: int
    start: int
    rows: int


def with_rows(dataset: Dataset) -> Dataset:
    """The dataset, if it has rows to write; raises UsageError for a checkpoint or an empty one."""
    if dataset.kind == "checkpoint":
        raise UsageError(f"{dataset.ref} is a checkpoint and has no rows; name a dataset")
    if not dataset.manifest.rows:
        raise UsageError(
            f"{dataset.ref} has no rows to write; see `vlt show {dataset.ref} --dropped`"
        )
    return dataset


def plan_shards(dataset: Dataset, images: ImageStore, size: int = SHARD_BYTES) -> list[Shard]:
    """The version split into shards of about `size` bytes of images, by the images' known sizes."""
    shards: list[Shard] = []
    start = place = held = 0
    for batch in dataset.batches(columns=["images"], size=BATCH):
        for hashes in batch.column("images").to_pylist():
            weight = sum(images.info(sha256).bytes for sha256 in hashes) + 2_000
            if held and held + weight > size:
                shards.append(Shard(len(shards), start, place - start))
                start, held = place, 0
            held += weight
            place += 1
    return [*shards, Shard(len(shards), start, place - start)]


def parquet_shards(
    dataset: Dataset,
    images: ImageStore,
    folder: Path,
    *,
    split: str = "train",
    size: int = SHARD_BYTES,
    changed: set[str] | None = None,
) -> Iterator[Path]:
    """Write `<split>-00000-of-0000N.parquet`, ... one after the other, and yield each when it is complete.

    Memory is bounded by a row group. The caller may delete a shard that it no longer needs. `changed`
    collects the images whose exported bytes differ from the store's (see `image_cell`).
    """
    shards = plan_shards(dataset, images, size)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"{split}-?????-of-?????.parquet"):
        if not stale.stem.endswith(f"-of-{len(shards):05d}"):
            stale.unlink()  # from an export with another number of shards: a reader would mix them
    schema = embedded(dataset.schema)
    cut = _row_groups(dataset, images, [shard.rows for shard in shards])
    total = max(1, dataset.manifest.rows // GROUP_ROWS)
    groups = embedded_groups(cut, total, images, schema, folder, changed)
    for shard in shards:
        file = folder / f"{split}-{shard.number:05d}-of-{len(shards):05d}.parquet"
        with replaced(file) as part, _parquet_writer(part, schema) as writer:
            written = 0
            while written < shard.rows:
                group = next(groups)
                writer.write_table(group, row_group_size=group.num_rows)
                written += group.num_rows
        yield file


def write_jsonl(dataset: Dataset, images: ImageStore, folder: Path) -> Path:
    """Write metadata.jsonl and the folder images/ with its `images_file_names`.

    `load_dataset(folder)` decodes the images into the column `images`; `vlt import` reads it back. `meta` is
    JSON as text: its fields may differ from row to row, which `load_dataset` does not accept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "metadata.jsonl"
    with replaced(file) as part, open(part, "w", encoding="utf-8") as out:
        out.writelines(lines_of(dataset, _Line(images, folder), any_row, Counter(), folder))
    return file


@dataclass(frozen=True)
class _Line:
    """Converts a row to a line of metadata.jsonl, and writes its images."""

    images: ImageStore
    folder: Path

    def __call__(self, row: dict[str, Any]) -> str:
        names = [image_file(self.images, sha256, self.folder) for sha256 in row.pop("images")]
        # `file_names` would work too, except for a row without images, which `datasets` rejects.
        return json.dumps({"images_file_names": names, **row}, ensure_ascii=False) + "\n"


def plain_rows(dataset: Dataset, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows as Python values, in order."""
    place = 0
    for batch in dataset.batches(columns=columns, size=BATCH):
        for row in batch.to_pylist():
            yield row
            place += 1
            if place % REPORT_ROWS == 0:
                report_progress(place, dataset.manifest.rows)


def write_parquet_rows(
    file: Path,
    rows: Iterator[Mapping[str, Any]],
    schema: pa.Schema,
    images: ImageStore,
    most: int,
) -> None:
    """Write Python rows, at most `most`, as one Parquet file.

    `schema` is that of the rows, whose `images` are hashes; in the file they are the images themselves.
    """
    whole = embedded(schema)
    with replaced(file) as part, _parquet_writer(part, whole) as writer:
        written = 0
        for table in embedded_groups(
            _batched(rows, schema, GROUP_ROWS), most // GROUP_ROWS, images, whole, file.parent
        ):
            writer.write_table(table)
            written += table.num_rows
        if not written:
            writer.write_table(whole.empty_table())


def _batched(
    rows: Iterator[Mapping[str, Any]], schema: pa.Schema, size: int
) -> Iterator[pa.RecordBatch]:
    while held := list(islice(rows, size)):
        yield pa.RecordBatch.from_pylist(held, schema)


def _row_groups(
    dataset: Dataset, images: ImageStore, shards: list[int]
) -> Iterator[pa.RecordBatch]:
    """The rows in groups that never cross the end of a shard."""
    ends = iter(shards)
    left, before = next(ends), 0
    for batch in dataset.batches(size=BATCH):
        weights = [
            sum(images.info(sha256).bytes for sha256 in hashes)
            for hashes in batch.column("images").to_pylist()
        ]
        start = 0
        while start < batch.num_rows:
            if not left:
                left = next(ends)
            rows = _fitting(weights[start : start + min(GROUP_ROWS, left)])
            yield alone(batch.slice(start, rows))
            start, left = start + rows, left - rows
            report_progress(before + start, dataset.manifest.rows)
        before += batch.num_rows


def _fitting(weights: list[int]) -> int:
    """How many of these rows fit into one group: at least one."""
    held = 0
    for place, weight in enumerate(weights):
        held += weight
        if place and held > GROUP_BYTES:
            return place
    return len(weights)


def _parquet_writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer that compresses text but not images, which are compressed already."""
    pictures = "images.list.element.bytes"
    columns = {name: "zstd" for name in _leaves(schema) if name != pictures}
    return pq.ParquetWriter(
        file,
        schema,
        compression={**columns, pictures: "NONE"} if "images" in schema.names else "zstd",
        use_dictionary=[n for n in ("source", "answer_type", "verdict") if n in schema.names],
        write_page_index=True,
    )


def _leaves(schema: pa.Schema) -> list[str]:
    """The leaf columns, with Parquet's names."""
    found: list[str] = []

    def walk(name: str, type: pa.DataType) -> None:
        if pa.types.is_list(type):
            walk(f"{name}.list.element", type.value_type)
        elif pa.types.is_struct(type):
            for child in type:
                walk(f"{name}.{child.name}", child.type)
        else:
            found.append(name)

    for f in schema:
        walk(f.name, f.type)
    return found
