"""The same as load.py on a Ray cluster: its nodes read and hash image files, and decode all images.

URLs are fetched in this process, and an image contained in its row is sent to a node only if it is new. The
store's packs are written in this process.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import chain

from vlt.cluster.address import ray_address
from vlt.cluster.tasks import Tasks
from vlt.datagen.sources import load
from vlt.datagen.sources.load import Batch, Loaded, Read, read_image
from vlt.datagen.sources.paths import ImageFile
from vlt.datagen.sources.record import BadRow, Record
from vlt.errors import UserError
from vlt.images.pool import ImagePool, most_processes
from vlt.images.store import BadImage, ImageStore, Inspected
from vlt.images.worker import Found, found, found_of
from vlt.plugins import travels
from vlt.process_pool import ENVIRONMENT, pool_folder
from vlt.threads import map_in_order

ALONE = 4_000
"""Number of images inspected on this machine before connecting to the cluster: about ten seconds of work."""
BATCH_ROWS = 4 * load.BATCH_ROWS
"""Rows whose images are inspected together: a task costs about 1.8 ms, as much as two images of 30 kB."""
PIECES = 64
"""Batches in progress, which bounds the memory; they feed more nodes than this process can keep up with."""
REMEMBERED = 500_000
"""Files whose hash is remembered, since several rows may refer to one."""

Wanted = tuple[str | None, bytes | ImageFile]
"""An image's sha256, if known, and the image."""
Answer = tuple[bytes | memoryview | pickle.PickleBuffer | None, Found]
"""The bytes of a file, unless converted or unreadable, and the result for the image."""


def with_images(
    rows: Iterable[Read], images: ImageStore, *, private: bool
) -> Iterator[tuple[Read, list[Loaded]]]:
    """Like load.with_images; with `--ray` and more than ALONE images, on the cluster."""
    if ray_address() is None:
        yield from load.with_images(rows, images, private=private)
        return
    given = iter(rows)
    yield from load.with_images(_first(given), images, private=private)
    for row in given:
        yield from _on_cluster(chain([row], given), images, private)


def _first(rows: Iterator[Read]) -> Iterator[Read]:
    """The rows with the first ALONE images."""
    seen = 0
    while seen < ALONE and (row := next(rows, None)):
        seen += len(row[2].images) if isinstance(row[2], Record) else 0
        yield row


def _on_cluster(
    rows: Iterable[Read], images: ImageStore, private: bool
) -> Iterator[tuple[Read, list[Loaded]]]:
    """The rows with the images of their records, in their order."""
    here = _Here(images, private)
    with ExitStack() as stack:
        folder = stack.enter_context(pool_folder(images.root.parent))
        pool = stack.enter_context(ImagePool(1, alone=0))
        job = folder / "job.pickle"
        job.write_bytes(travels(Inspect()) or b"")
        threads = most_processes() + 1
        prepared = map_in_order(
            here.prepared, load.batches(rows, BATCH_ROWS), threads, ahead=2 * threads, name="images"
        )
        stack.enter_context(closing(prepared))
        waiting: deque[_Prepared] = deque()

        def wanted() -> Iterator[list[Wanted]]:
            for each in prepared:
                waiting.append(each)
                yield each.wanted

        def alone(piece: list[Wanted]) -> list[Answer]:
            """One of them crashes its decoder: inspect each in an isolated process."""
            return [_inspect(*each, pool) for each in piece]

        tasks = Tasks(job, folder, ENVIRONMENT, alone)
        for answers in stack.enter_context(closing(tasks.map(wanted(), PIECES))):
            yield from here.loaded(waiting.popleft(), answers)


@dataclass
class _Prepared:
    """Rows, what is known about their images (None: nothing yet), and the images to send to a node."""

    batch: Batch
    loaded: list[list[Loaded | None]] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)


class _Here:
    """The part of this machine, before and after a node inspects the images."""

    def __init__(self, images: ImageStore, private: bool):
        self._images, self._private = images, private
        self._known: dict[str, str] = {}
        """File -> sha256 of its image, for images stored unchanged."""

    def prepared(self, batch: Batch) -> _Prepared:
        """Fetch URLs and hash the images contained in rows; runs in a thread."""
        made = _Prepared(batch)
        for _, refs in batch:
            made.loaded.append([])
            for ref in refs:
                known: Loaded | None = None
                if isinstance(ref, ImageFile):
                    sha256 = self._known.get(ref.path)
                    known = sha256 if sha256 in self._images else None
                    if known is None:
                        made.wanted.append((None, ref))
                else:
                    try:
                        data = ref if isinstance(ref, bytes) else read_image(ref, self._private)
                    except BadRow as error:
                        known = error
                    else:
                        sha256 = hashlib.sha256(data).hexdigest()
                        known = sha256 if sha256 in self._images else None
                        if known is None:
                            made.wanted.append((sha256, data))
                made.loaded[-1].append(known)
        return made

    def loaded(
        self, made: _Prepared, answers: Sequence[Answer]
    ) -> Iterator[tuple[Read, list[Loaded]]]:
        """The rows with all their images."""
        given = iter(zip(made.wanted, answers, strict=True))
        for (row, _), images in zip(made.batch, made.loaded, strict=True):
            yield row, [self._found(*next(given)) if i is None else i for i in images]

    def _found(self, wanted: Wanted, answer: Answer) -> Loaded:
        image, (data, told) = wanted[1], answer
        if isinstance(told, str):
            if isinstance(image, ImageFile) and data is None:
                self._check_seen(image)
            return BadRow(told)
        converted, sha256, info = told
        if converted is not None:
            return Inspected(sha256, converted, info, True)
        if isinstance(image, ImageFile):
            if len(self._known) == REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[image.path] = sha256
        if sha256 in self._images:
            return sha256
        if isinstance(image, bytes):
            return Inspected(sha256, image, info, False)
        assert data is not None, "a node returns the bytes that it read"
        return Inspected(sha256, bytes(data), info, False)

    def _check_seen(self, image: ImageFile) -> None:
        """Raises UserError for a file that can be read here but not on a node."""
        try:
            read_image(image, self._private)
        except BadRow:
            return
        raise UserError(
            f"a node of the Ray cluster cannot read {image.path!r}; put the images on a disk that all nodes "
            "share, under the same path"
        )


@dataclass(frozen=True)
class Inspect:
    """The job of a node: reads, hashes and inspects images."""

    def __call__(self, wanted: list[Wanted]) -> list[Answer]:
        """An answer for each image; None and the reason if its file cannot be read."""
        return [_inspect(*each) for each in wanted]


def _inspect(sha256: str | None, image: bytes | ImageFile, pool: ImagePool | None = None) -> Answer:
    try:
        data = image if isinstance(image, bytes) else read_image(image, private=False)
    except BadRow as error:
        return None, error.reason
    sha256 = sha256 or hashlib.sha256(data).hexdigest()
    if pool is None:
        told = found(sha256, data)
    else:
        [seen] = pool.inspect([(sha256, data)])
        told = seen.reason if isinstance(seen, BadImage) else found_of(seen)
    if isinstance(told, str):
        return b"", told
    if isinstance(image, bytes) or told[0] is not None:
        return None, told
    return pickle.PickleBuffer(data), told  # written as it is, not copied into a pickle
