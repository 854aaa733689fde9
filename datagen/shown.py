"""Which images a model is shown for an item: its own, or, to measure what they contribute, others.

none: no image at all. swapped: another item's images, as many of them, the same each time, and never one
that the item has itself. noise: as many of the same size, with each colour channel of a pixel 0 or 255.
The rows keep their own images, and `images_shown` has what was shown in their place.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from vlt.datagen.asking import Images
from vlt.images.decode import open_image
from vlt.workspace.lineage import ancestors
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace

NO_OTHER = "no other item has as many images that are all different"
"""Why an item could not be shown another's images."""


class Shown:
    """The images shown for the items of one dataset."""

    def __init__(self, workspace: Workspace, items: Dataset, how: Images):
        self.workspace, self.items, self.how = workspace, items, how
        self._digests: dict[str, bytes] = {}

    def of(self, row: Mapping[str, Any]) -> list[str] | str:
        """The images (sha256) shown in place of the row's own, or why there are none."""
        own: list[str] = row["images"]
        if self.how == "own" or not own:
            return own
        if self.how == "none":
            return []
        if self.how == "noise":
            return [self._noise[self._looks(image)[:2]] for image in own]
        return self._other(row["id"], own)

    def _other(self, id: str, own: list[str]) -> list[str] | str:
        """Another item's images, chosen by a hash of the item's id."""
        others = self._by_count[len(own)]
        digest = hashlib.blake2b(id.encode(), digest_size=8).digest()
        start = int.from_bytes(digest) % len(others)
        for place in range(start, start + len(others)):
            other = others[place % len(others)]
            if not any(self._same(a, b) for a in own for b in other):
                return list(other)
        return NO_OTHER

    @cached_property
    def _by_count(self) -> dict[int, list[tuple[str, ...]]]:
        """Number of images -> the distinct lists of that length, in the order of their hashes."""
        found: dict[int, set[tuple[str, ...]]] = {}
        for images in self._lists():
            found.setdefault(len(images), set()).add(images)
        return {count: sorted(lists) for count, lists in found.items()}

    @cached_property
    def _noise(self) -> dict[tuple[int, ...], str]:
        """(width, height) -> the noise picture of that size, in the store."""
        sizes = sorted({self._looks(image)[:2] for images in self._lists() for image in images})
        store = self.workspace.images
        made = {size: store.add(noise(*size)) for size in sizes}
        store.flush()
        return made

    def _lists(self) -> Iterator[tuple[str, ...]]:
        for batch in self.items.batches(["images"]):
            yield from map(tuple, batch.column("images").to_pylist())

    def _same(self, a: str, b: str) -> bool:
        """Whether two images show the same pixels, whatever their encoding."""
        return a == b or (self._looks(a) == self._looks(b) and self._pixels(a) == self._pixels(b))

    def _looks(self, image: str) -> tuple[int, ...]:
        """Width, height and perceptual hash."""
        info = self.workspace.images.info(image)
        return info.width, info.height, info.phash

    def _pixels(self, image: str) -> bytes:
        if image not in self._digests:
            pixels = open_image(self.workspace.images.read(image)).tobytes()
            self._digests[image] = hashlib.blake2b(pixels, digest_size=16).digest()
        return self._digests[image]


def noise(width: int, height: int) -> bytes:
    """A PNG of that size, the same each time: each pixel's red, green and blue is 0 or 255 at random."""
    from PIL import Image

    tosses = np.random.default_rng([width, height]).integers(0, 2, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(tosses * np.uint8(255)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def images_of(store: Store, samples: Dataset) -> Images:
    """Which images the samples' model was shown: own, none, swapped or noise."""
    for each in ancestors(store, samples, through=lambda v: v.kind == "sample", gone=True):
        manifest = each.dataset.manifest
        if manifest.stage.startswith("gen "):
            how: Images = manifest.parameters.get("images", "own")
            return how
    return "own"
