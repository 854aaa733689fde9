"""Loads the images of records, in order and ahead of time: read or fetched, and inspected on all cores."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing

from vlt.datagen.sources.fetch import fetch_image
from vlt.datagen.sources.formats.opened import LFS
from vlt.datagen.sources.images_of import ImageRef
from vlt.datagen.sources.paths import ImageFile
from vlt.datagen.sources.record import BadRow, Record, Row, Unreadable
from vlt.images.inspect import MAX_BYTES
from vlt.images.pool import ImagePool, most_processes
from vlt.images.store import BadImage, ImageStore, Inspected
from vlt.threads import map_in_order

BATCH_ROWS, BATCH_BYTES = 32, 4 << 20
"""Rows whose images are inspected together, since each message to another process has a cost."""
URL_BYTES = 1 << 20
"""Assumed size of an image that has not been fetched yet."""
AHEAD = 4
"""Batches in progress for each process; with BATCH_BYTES they determine the memory use."""

Read = tuple[int, Row | Unreadable, Record | BadRow]
"""(position in the source, the row, its record or error)"""
Loaded = Inspected | str | BadRow
"""A valid new image, the sha256 of one in the store already, or why it cannot be used."""
Batch = list[tuple[Read, list[ImageRef]]]


def with_images(
    rows: Iterable[Read], images: ImageStore, *, private: bool
) -> Iterator[tuple[Read, list[Loaded]]]:
    """The rows with the images of their records, in their order.

    `private` allows image URLs with addresses in the user's own network.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ImagePool())

        def load(batch: Batch) -> list[tuple[Read, list[Loaded]]]:
            loaded = _load([refs for _, refs in batch], images, pool, private)
            return [(row, found) for (row, _), found in zip(batch, loaded, strict=True)]

        made = map_in_order(
            load,
            batches(rows, BATCH_ROWS),
            most_processes() + 1,
            ahead=AHEAD * most_processes(),
            name="images",
        )
        done = stack.enter_context(closing(made))  # its threads end before the pool does
        for batch in done:
            yield from batch


def batches(rows: Iterable[Read], most: int) -> Iterator[Batch]:
    """The rows with what they name as images, at most `most` rows and about BATCH_BYTES together."""
    batch: Batch = []
    held = 0
    for row in rows:
        refs = row[2].images if isinstance(row[2], Record) else []
        weight = sum(map(_weight, refs))
        if batch and (held + weight > BATCH_BYTES or len(batch) >= most):
            yield batch
            batch, held = [], 0
        batch.append((row, refs))
        held += weight
    if batch:
        yield batch


def _weight(ref: ImageRef) -> int:
    """Its approximate size in memory, in bytes."""
    if isinstance(ref, bytes):
        return len(ref)
    if isinstance(ref, str):
        return URL_BYTES
    try:
        return min(os.stat(ref.path).st_size, MAX_BYTES)
    except (OSError, ValueError):
        return 0  # reported as missing when it is read


def _load(
    rows: list[list[ImageRef]], images: ImageStore, pool: ImagePool, private: bool
) -> list[list[Loaded]]:
    """Read and inspect, in a thread; an image in the store already is not decoded again."""
    loaded: list[list[Loaded]] = []
    new: list[tuple[str, bytes]] = []
    places: list[tuple[int, int]] = []
    for place, refs in enumerate(rows):
        loaded.append([])
        for ref in refs:
            try:
                data = ref if isinstance(ref, bytes) else read_image(ref, private)
            except BadRow as error:
                loaded[place].append(error)
                continue
            sha256 = hashlib.sha256(data).hexdigest()
            loaded[place].append(sha256)
            if sha256 not in images:
                places.append((place, len(loaded[place]) - 1))
                new.append((sha256, data))
    if new:
        for (place, at), image in zip(places, pool.inspect(new), strict=True):
            loaded[place][at] = BadRow(image.reason) if isinstance(image, BadImage) else image
    return loaded


def read_image(ref: ImageFile | str, private: bool) -> bytes:
    """The bytes of an image's file or URL. Raises BadRow with the reason."""
    if isinstance(ref, str):
        return fetch_image(ref, private=private)
    try:
        return _read_file(ref.path, ref.shown)
    except FileNotFoundError:
        found = ref.elsewhere()
    except OSError as error:
        raise BadRow(f"image file cannot be read: {error.strerror} {ref.shown}") from None
    if found is None:
        raise BadRow(f"image file not found: {ref.shown}")
    try:
        return _read_file(found, ref.shown)
    except OSError as error:
        raise BadRow(f"image file cannot be read: {error.strerror} {ref.shown}") from None


def _read_file(path: str, shown: str) -> bytes:
    # Reading a pipe would block, and a device never ends: check before opening.
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise BadRow(f"image is no file: {shown}")
    with open(path, "rb", buffering=0) as opened:
        # One byte more than allowed, to detect a file that is too big, whatever its reported size.
        data = opened.read(min(found.st_size, MAX_BYTES) + 1)
    if data.startswith(LFS):
        raise BadRow(f"image is a Git LFS pointer (fetch it with `git lfs pull`): {shown}")
    return data
