"""Inspects images in worker processes, on all cores, since threads would block each other.

    with ImagePool() as pool:
        pool.inspect([data, ...])      # from any thread

An image that crashes its decoder fails alone.
"""

from __future__ import annotations

import mmap
import os
import pickle
import queue
from collections.abc import Sequence
from contextlib import AbstractContextManager

from vlt.cores import processes
from vlt.images.inspect import BadImage, Inspected, inspect_image
from vlt.images.worker import Found, Sent
from vlt.threads import map_in_order
from vlt.worker_process import WorkerGone, WorkerProcess

ALONE = 256
"""Images inspected in this process before the first worker is started, which costs as much time."""
SHARED_BYTES = 8 << 20
"""Memory shared with a worker; images in it need not go through the pipe."""
MOST = 8
"""Maximum workers; more would wait for the disk and for the consumer of the images."""
PART = 32
"""Images that a worker gets at once."""


def most_processes() -> int:
    """The number of workers, by the setting (vlt.cores)."""
    return min(MOST, processes())


class ImagePool(AbstractContextManager["ImagePool"]):
    """Up to `processes` workers, started when there is enough to do."""

    def __init__(self, processes: int | None = None, alone: int | None = None):
        """`alone`: so many images are inspected here before the first process is started."""
        processes = most_processes() if processes is None else processes
        self._free: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(processes):
            self._free.put(None)
        self._processes = processes
        self._seen, self._alone = 0, ALONE if alone is None else alone

    def inspect(self, images: Sequence[tuple[str, bytes]]) -> list[Inspected | BadImage]:
        """For each (sha256, bytes): the result of `inspect_image`, or the error that it raises."""
        self._seen += len(images)
        if self._seen <= self._alone:
            return [_here(sha256, data) for sha256, data in images]
        process = self._free.get()
        fresh = process is None
        try:
            process = process or _Process()
            answers = process.ask(images)
            if answers is not None:
                return [_read(d, a) for (_, d), a in zip(images, answers, strict=True)]
            process.end()
            process = None
        finally:
            self._free.put(process)
        if len(images) == 1 and fresh:  # an older worker may have died of something else
            return [BadImage("image brings its decoder down")]
        return [one for image in images for one in self.inspect([image])]

    def inspect_all(self, images: Sequence[tuple[str, bytes]]) -> list[Inspected | BadImage]:
        """As `inspect`, with all processes at once."""
        parts = [images[start : start + PART] for start in range(0, len(images), PART)]
        found = map_in_order(self.inspect, parts, self._processes, name="images")
        return [image for images in found for image in images]

    def __exit__(self, *_ended: object) -> None:
        for _ in range(self._processes):
            process = self._free.get()
            if process:
                process.end()


class _Process:
    """One worker, and memory shared with it; for one thread at a time."""

    def __init__(self) -> None:
        # Linux has memfd; elsewhere everything goes through the pipe.
        file = os.memfd_create("images") if hasattr(os, "memfd_create") else None
        self._shared: mmap.mmap | None = None
        if file is not None:
            os.truncate(file, SHARED_BYTES)
            self._shared = mmap.mmap(file, SHARED_BYTES)
        files = [] if file is None else [file]
        self.worker = WorkerProcess(
            "vlt.images.worker",
            *map(str, files),
            environment={"OPENBLAS_NUM_THREADS": "1"},
            pass_files=files,
        )
        if file is not None:
            os.close(file)

    def ask(self, images: Sequence[tuple[str, bytes]]) -> list[Found] | None:
        """Its results for the images, or None if it died on one."""
        try:
            answer = self.worker.ask(pickle.dumps(self._sent(images), 5))
        except WorkerGone:
            return None
        answers: list[Found] = pickle.loads(answer)
        return answers

    def _sent(self, images: Sequence[tuple[str, bytes]]) -> list[Sent]:
        """The images as sent to the worker: in the shared memory as far as they fit."""
        sent: list[Sent] = []
        end = 0
        for sha256, data in images:
            start, after = end, end + len(data)
            if self._shared is None or after > SHARED_BYTES:
                sent.append((sha256, data))
            else:
                self._shared[start:after] = data
                sent.append((sha256, (start, after)))
                end = after
        return sent

    def end(self) -> None:
        """End the worker."""
        self.worker.kill()
        if self._shared:
            self._shared.close()


def _here(sha256: str, data: bytes) -> Inspected | BadImage:
    try:
        return inspect_image(data, sha256)
    except BadImage as error:
        return error


def _read(data: bytes, answer: Found) -> Inspected | BadImage:
    if isinstance(answer, str):
        return BadImage(answer)
    converted, sha256, info = answer
    return Inspected(sha256, data if converted is None else converted, info, converted is not None)
