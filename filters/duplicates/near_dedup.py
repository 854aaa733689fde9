"""Take out near-duplicate items: nearly the same words about the same images.

The unit is the item: its question and choices. The images must be the same ones, since a template's
question about another picture is another item. How near is near: see near.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from vlt.errors import UsageError
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.duplicates.clusters import near_clusters
from vlt.filters.duplicates.exact import KEEP, hashed, joined, keep_columns, kept_items
from vlt.filters.duplicates.minhash import (
    SAMPLED,
    Common,
    Sketches,
    common_grams,
    concatenated,
    sketched,
)
from vlt.filters.duplicates.near_images import same_pictures
from vlt.filters.protocol import NEVER, Judgement, Once, with_found
from vlt.images.store import ImageStore
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

IMAGES = ("same", "near")
SKETCH = pa.struct(
    [
        ("bands", pa.list_(pa.uint32(), 21)),
        ("bins", pa.list_(pa.uint8(), 126)),
        ("grams", pa.list_(pa.uint32())),
        ("count", pa.int32()),
        ("numbers", pa.uint64()),
    ]
)


def as_column(sketches: Sketches) -> pa.StructArray:
    """[n] sketches as one Arrow column."""
    flat = [pa.array(part.ravel()) for part in (sketches.bands, sketches.bins)]
    grams = pa.ListArray.from_arrays(pa.array(sketches.offsets.astype(np.int32)), sketches.grams)
    columns = [
        pa.FixedSizeListArray.from_arrays(flat[0], 21),
        pa.FixedSizeListArray.from_arrays(flat[1], 126),
        grams,
        pa.array(sketches.counts),
        pa.array(sketches.numbers),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(SKETCH))


def from_column(column: pa.ChunkedArray) -> Sketches:
    """The sketches that `as_column` made."""
    parts = []
    for chunk in column.chunks:
        bands, bins, grams, counts, numbers = chunk.flatten()
        sizes = grams.value_lengths().to_numpy()
        parts.append(
            Sketches(
                bands.flatten().to_numpy().reshape(-1, 21),
                bins.flatten().to_numpy().reshape(-1, 126),
                grams.flatten().to_numpy(),
                np.concatenate([[0], np.cumsum(sizes)]),
                counts.to_numpy(),
                numbers.to_numpy(),
            )
        )
    return concatenated(parts)


@dataclass(frozen=True)
class NearDedup:
    """Keeps one item of each cluster."""

    name: ClassVar[str] = "near_dedup"
    columns: ClassVar[tuple[str, ...]] = ("id", "question", "choices", "images")
    of_items: ClassVar[bool] = True

    threshold: float = 0.8
    """Least Jaccard of word 5-grams."""
    keep: str = "first"
    """The item that stays: first, shortest or best (see dedup.py)."""
    numbers: bool = True
    """Whether items whose digits differ are never duplicates."""
    images: str = "same"
    """same, or near: also copies of an image, rescaled or encoded again (see near_images.py)."""
    pictures: Once[Mapping[str, str] | None] = field(
        default=NEVER, init=False, repr=False, compare=False
    )
    """sha256 -> the image that stands for it, where copies count; found by `prepared`."""
    common: Once[Common] = field(default=NEVER, init=False, repr=False, compare=False)
    """The grams of templates; found by `prepared`."""

    def __post_init__(self) -> None:
        if not 0.3 <= self.threshold <= 1:
            raise UsageError(
                f"near_dedup: a threshold of {self.threshold} cannot be; give one from 0.3 to 1"
            )
        if self.images not in IMAGES:
            raise UsageError(
                f"near_dedup: images {self.images!r} is not known; write {' or '.join(IMAGES)}"
            )
        if self.keep not in KEEP:
            raise UsageError(
                f"near_dedup: keep {self.keep!r} is not known; write {', '.join(KEEP)}"
            )

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> NearDedup:
        """With the common grams of the rows' questions, and the images that show the same."""

        def pictures() -> Mapping[str, str] | None:
            if self.images == "same":
                return None
            with ImageStore(workspace.images_folder) as images:
                return same_pictures(images, images_of(parents))

        common = Once(lambda: common_grams(sampled_questions(parents)))
        return with_found(self, common=common, pictures=Once(pictures))

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """id, key of the images, sketch of the text, and what `keep` needs."""
        texts = joined(rows, ("question", "choices"))
        columns = {
            "id": rows.column("id"),
            "images": hashed(self._images(rows))[0],
            "sketch": as_column(sketched(texts, self.common())),
        }
        return pa.RecordBatch.from_pydict({**columns, **keep_columns(rows, self.keep)})

    def _images(self, rows: pa.RecordBatch) -> pa.Array:
        names = joined(rows, ("images",))
        if (pictures := self.pictures()) is None:
            return names
        each = [[pictures[name] for name in row] for row in rows.column("images").to_pylist()]
        return pa.array(["\x1f".join(row) for row in each], pa.string())

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:
        """Rows are clustered by text; their items follow."""
        label = near_clusters(
            from_column(view["sketch"]),
            self.threshold,
            apart=view["images"].to_numpy(),
            numbers=self.numbers,
        )
        rows = view.drop_columns(["sketch", "images"]).append_column("first", pa.array(label))
        return kept_items(rows, self.keep, "near-duplicate", scratch)


def images_of(datasets: Sequence[Dataset]) -> list[str]:
    """Every image of the rows once, in their order."""
    names: dict[str, None] = {}
    for dataset in datasets:
        for batch in dataset.batches(["images"]):
            names.update(dict.fromkeys(batch.column("images").flatten().to_pylist()))
    return list(names)


def sampled_questions(parents: Sequence[Dataset]) -> Iterator[pa.Array]:
    """About SAMPLED questions, each item's once, spread over the parents."""
    for parent in parents:
        step = max(1, parent.manifest.rows * len(parents) // SAMPLED)
        for batch in parent.batches(["id", "question", "choices"]):
            ids = batch.column("id")
            fresh = np.ones(len(ids), bool)
            fresh[1:] = np.asarray(ids[1:]) != np.asarray(ids[:-1])
            rows = np.flatnonzero(fresh)[:: max(1, step)]
            yield joined(batch.take(pa.array(rows)), ("question", "choices"))
