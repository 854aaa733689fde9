"""Drop near-duplicate items: nearly the same words about the same images.

The unit is the item: its question and choices. The images must be the same, since a template question
about another picture is another item; and so must the gold answers, since questions that differ
in one word ("the longest side", "the shortest side") may ask different things. For the similarity measure,
see minhash.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.errors import UsageError
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.duplicates.clusters import near_clusters
from vlt.filters.duplicates.exact import KEEP, duplicates, hashed, joined, keep_columns, without
from vlt.filters.duplicates.mapped import mapped
from vlt.filters.duplicates.minhash import (
    SAMPLED,
    Common,
    Sketches,
    common_grams,
    sketched,
)
from vlt.filters.duplicates.near_images import same_pictures
from vlt.filters.protocol import NEVER, Judgement, Once, with_found
from vlt.filters.text import normalised
from vlt.images.store import ImageStore
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

IMAGES = ("same", "near")
NUMBER = re.compile(r"([+-]?)0*(\d*)(?:\.(\d*?)0*)?")
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


def from_column(column: pa.ChunkedArray, folder: Path) -> Sketches:
    """The sketches that `as_column` made, in files of the folder without a name, mapped.

    The bands lie one after the other, as they are searched.
    """
    n = len(column)
    found = Sketches(
        bands=mapped(folder, (21, n), np.uint32).T,
        bins=mapped(folder, (n, 126), np.uint8),
        grams=mapped(folder, (_grams(column),), np.uint32),
        offsets=np.zeros(n + 1, np.int64),
        counts=np.empty(n, np.int32),
        numbers=np.empty(n, np.uint64),
    )
    row = gram = 0
    for chunk in column.chunks:
        bands, bins, grams, counts, numbers = chunk.flatten()
        here, ends = slice(row, row + len(chunk)), np.cumsum(grams.value_lengths().to_numpy())
        found.bands[here] = bands.flatten().to_numpy().reshape(-1, 21)
        found.bins[here] = bins.flatten().to_numpy().reshape(-1, 126)
        found.offsets[row + 1 : row + len(chunk) + 1] = gram + ends
        found.counts[here] = counts.to_numpy()
        found.numbers[here] = numbers.to_numpy()
        flat = grams.flatten().to_numpy()
        found.grams[gram : gram + len(flat)] = flat
        row, gram = row + len(chunk), gram + len(flat)
    return found


def _grams(column: pa.ChunkedArray) -> int:
    return sum(len(chunk.field("grams").flatten()) for chunk in column.chunks)


@dataclass(frozen=True)
class NearDedup:
    """Keeps one item of each cluster with nearly the same words about the same images."""

    name: ClassVar[str] = "near_dedup"
    columns: ClassVar[tuple[str, ...]] = ("id", "question", "choices", "answer", "images")
    of_items: ClassVar[bool] = True

    threshold: float = 0.8
    """With --near: minimum Jaccard similarity of word 5-grams."""
    keep: str = "first"
    """Which item is kept: first, shortest (response; in a file, text), or best (verdict)."""
    numbers: bool = True
    """Whether items whose digits differ are never duplicates."""
    answers: bool = True
    """Whether items whose gold answers differ are never duplicates."""
    images: str = "same"
    """same, or near: also rescaled or re-encoded copies of an image (see near_images.py)."""
    pictures: Once[Mapping[str, str] | None] = field(
        default=NEVER, init=False, repr=False, compare=False
    )
    """sha256 -> the image that represents it, if copies count as the same; found by `prepared`."""
    common: Once[Common] = field(default=NEVER, init=False, repr=False, compare=False)
    """The grams of templates; found by `prepared`."""

    def __post_init__(self) -> None:
        if not 0.3 <= self.threshold <= 1:
            raise UsageError(
                f"near_dedup: threshold {self.threshold} is out of range; give one from 0.3 to 1"
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
        """With the common grams of the rows' questions, and the images that are copies of each other."""

        def pictures() -> Mapping[str, str] | None:
            if self.images == "same":
                return None
            with ImageStore(workspace.images_folder, read_only=True) as images:
                return same_pictures(images, images_of(parents))

        common = Once(lambda: common_grams(sampled_questions(parents)))
        return with_found(self, common=common, pictures=Once(pictures))

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """id, key of the images and of the gold, sketch of the text, and what `keep` needs."""
        texts = joined(rows, ("question", "choices"))
        columns = {
            "id": rows.column("id"),
            "apart": hashed(self._apart(rows))[0],
            "sketch": as_column(sketched(texts, self.common())),
        }
        return pa.RecordBatch.from_pydict({**columns, **keep_columns(rows, self.keep)})

    def _apart(self, rows: pa.RecordBatch) -> pa.Array:
        """[n] what must be the same besides the text."""
        images = self._images(rows)
        return pc.binary_join_element_wise(images, golds(rows), "\x1d") if self.answers else images

    def _images(self, rows: pa.RecordBatch) -> pa.Array:
        names = joined(rows, ("images",))
        if (pictures := self.pictures()) is None:
            return names
        each = [[pictures[name] for name in row] for row in rows.column("images").to_pylist()]
        return pa.array(["\x1f".join(row) for row in each], pa.string())

    def decide(self, view: pa.Table, scratch: Scratch) -> Judgement:
        """The reason names the item that is kept, and the cluster."""
        return without(view, self.duplicates(view, scratch), "near-duplicate")

    def duplicates(self, view: pa.Table, scratch: Scratch) -> pa.Table:
        """place, kept, cluster of each row to drop: of each cluster of similar texts, one item is kept."""
        label = near_clusters(
            from_column(view["sketch"], scratch.folder),
            self.threshold,
            apart=view["apart"].to_numpy(),
            numbers=self.numbers,
        )
        rows = view.drop_columns(["sketch", "apart"]).append_column("first", pa.array(label))
        return duplicates(rows, self.keep, scratch)


def golds(rows: pa.RecordBatch) -> pa.Array:
    """[n] the gold answers in a canonical form: the text of the choice that a letter names, in lower case,
    numbers in one notation; null if there is none."""
    answers = rows.column("answer")
    choices = rows.column("choices")
    sizes = pc.fill_null(pc.list_value_length(choices), 0).to_numpy(zero_copy_only=False)
    starts = np.cumsum(sizes) - sizes
    place = pc.index_in(
        pc.utf8_trim_whitespace(answers), pa.array(list(ascii_uppercase))
    ).fill_null(-1)
    place = place.to_numpy(zero_copy_only=False)
    # Null if the letter names no choice: the answer itself is used.
    named = np.where((place >= 0) & (place < sizes), starts + place, -1)
    texts = choices.flatten().take(pa.array(named, mask=named < 0))
    plain = normalised(pc.coalesce(texts, answers)).dictionary_encode()
    each = pa.array([_number(text) for text in plain.dictionary.to_pylist()], pa.string())
    return each.take(plain.indices)


def _number(text: str) -> str:
    """A number in canonical form (12.0, +12 and 12 are the same); other texts unchanged."""
    found = NUMBER.fullmatch(text)
    if not found or not any(letter.isdigit() for letter in text):
        return text
    sign, whole, part = found.groups()
    return f"{sign.strip('+')}{whole or '0'}{'.' if part else ''}{part or ''}"


def images_of(datasets: Sequence[Dataset]) -> list[str]:
    """The distinct images of the rows, in their order."""
    names: dict[str, None] = {}
    for dataset in datasets:
        for batch in dataset.batches(["images"]):
            names.update(dict.fromkeys(batch.column("images").flatten().to_pylist()))
    return list(names)


def sampled_questions(parents: Sequence[Dataset]) -> Iterator[pa.Array]:
    """About SAMPLED questions, one for each item, spread over the parents."""
    for parent in parents:
        step = max(1, parent.manifest.rows * len(parents) // SAMPLED)
        for batch in parent.batches(["id", "question", "choices"]):
            ids = batch.column("id")
            fresh = np.ones(len(ids), bool)
            fresh[1:] = np.asarray(ids[1:]) != np.asarray(ids[:-1])
            rows = np.flatnonzero(fresh)[:: max(1, step)]
            yield joined(batch.take(pa.array(rows)), ("question", "choices"))
