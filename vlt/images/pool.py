"""Inspects images in processes of their own, on all cores, where threads would wait for each other.

    with ImagePool() as pool:
        pool.inspect([data, ...])      # from any thread

An image that brings its decoder down costs itself and no other.
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
from vlt.images.worker import Found, Told
from vlt.threads import map_in_order
from vlt.worker_process import WorkerGone, WorkerProcess

ALONE = 256
"""So many images are inspected here before the first process is started, which costs as much as they."""
SHARED_BYTES = 8 << 20
"""Memory that a process shares with us; images in it need not go through the pipe."""
MOST = 8
"""Processes; more would wait for the disk and for who takes the images."""
PART = 32
"""Images that a process gets at once."""


def most_processes() -> int:
    """Inspecting processes, by the setting (vlt.cores)."""
    return min(MOST, processes())


class ImagePool(AbstractContextManager["ImagePool"]):
    """Up to `processes` inspecting processes, started when there is enough to do."""

    def __init__(self, processes: int | None = None, alone: int = ALONE):
        """`alone`: so many images are inspected here before the first process is started."""
        processes = most_processes() if processes is None else processes
        self._free: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(processes):
            self._free.put(None)
        self._processes = processes
        self._seen, self._alone = 0, alone

    def inspect(self, images: Sequence[tuple[str, bytes]]) -> list[Inspected | BadImage]:
        """Of each (sha256, bytes): what `inspect_image` says, or the error that it raises."""
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
        if len(images) == 1 and fresh:  # an old process may have died of something else
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
    """One process, and memory that it shares with us; for one thread at a time."""

    def __init__(self) -> None:
        # Linux has files in memory; elsewhere all goes through the pipe.
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
        """What it says of them, or None where it died over one."""
        try:
            answer = self.worker.ask(pickle.dumps(self._told(images), 5))
        except WorkerGone:
            return None
        answers: list[Found] = pickle.loads(answer)
        return answers

    def _told(self, images: Sequence[tuple[str, bytes]]) -> list[Told]:
        """The images as the process is told of them: laid into the shared memory as far as they fit."""
        told: list[Told] = []
        end = 0
        for sha256, data in images:
            start, after = end, end + len(data)
            if self._shared is None or after > SHARED_BYTES:
                told.append((sha256, data))
            else:
                self._shared[start:after] = data
                told.append((sha256, (start, after)))
                end = after
        return told

    def end(self) -> None:
        """End it."""
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
