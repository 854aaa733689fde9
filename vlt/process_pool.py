"""Processes pieces of work in this process and in worker processes, with results in order.

    with ProcessPool(job, folder) as pool:          # job: an object that is called with a piece
        for result in pool.map(pieces, len(pieces)):
            ...

The work starts in this process. Workers are started only if the remaining work is worth it (WORTH seconds
for each), up to the setting of vlt.cores; small inputs never pay for them. They are fresh interpreters
(see vlt.worker_process): nothing is forked, so the caller may use threads, torch and a GPU. Meanwhile this
process works too, whenever it has no result to yield.

A job and its pieces are pickled. A function or class from a user's file is sent as the file's path, and
the file is loaded again in the worker; if something cannot be sent (a function of a notebook, of a script,
of another function), the whole job stays in this process. Arrow and numpy buffers of a result go through
a file in `folder`, which is memory-mapped, not copied.

An exception of the job is raised at the position of its result, as if the job had run here. A worker
that dies is replaced and its piece retried once. No worker outlives the `with` block, or this process.
"""

from __future__ import annotations

import mmap
import pickle
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from vlt.cores import VARIABLE, processes
from vlt.errors import UserError
from vlt.plugins import travels
from vlt.worker_process import WorkerGone, WorkerProcess

Piece = TypeVar("Piece")
Made = TypeVar("Made")
WORTH = 4.0
"""Minimum seconds of remaining work per worker: starting one costs about 0.7."""
ENVIRONMENT = {
    **dict.fromkeys(
        (VARIABLE, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
        "1",  # the cores are distributed over the workers
    ),
    # Milliseconds after which Arrow returns freed memory to the system. The default would do so between
    # two pieces, and getting it back costs as much as a tenth of the work.
    "MIMALLOC_PURGE_DELAY": "10000",
}
"""The environment of a worker."""


class ProcessPool(AbstractContextManager["ProcessPool[Piece, Made]"], Generic[Piece, Made]):
    """A job that runs in this process, and in workers if that is worth it."""

    def __init__(self, job: Callable[[Piece], Made], folder: Path, most: int | None = None):
        """`folder` exists, and the caller removes it; `most` processes, by default vlt.cores' setting."""
        self._job, self._folder = job, folder
        self._most = processes() if most is None else most
        self._packed: Path | None = None
        self._idle: list[WorkerProcess] = []
        self._all: list[WorkerProcess] = []
        self._lock = threading.Lock()
        self._closed = False

    def map(self, pieces: Iterable[Piece], total: int) -> Generator[Made, None, None]:
        """The job's results for the `total` pieces, in their order.

        At most two results per worker and two more are waiting to be taken.
        """
        given = iter(pieces)
        for place, piece in enumerate(given):
            began = time.monotonic()
            made = self._job(piece)
            left = (time.monotonic() - began) * (total - place - 1)
            yield made
            # The time of the first piece says nothing: it includes one-time loading.
            if place and (others := min(self._most - 1, int(left / WORTH))) > 0 and self._travels():
                yield from self._shared(given, others)

    def _shared(self, given: Iterator[Piece], others: int) -> Generator[Made, None, None]:
        """The results of all the pieces, from `others` workers and this process."""
        waiting: deque[Future[Any]] = deque()
        more = True

        def next_piece() -> list[Piece]:
            nonlocal more
            found = next(given, _END)
            more = found is not _END
            return [found] if more else []

        executor = ThreadPoolExecutor(others, "pool")
        try:
            while True:
                asked = sum(not future.done() for future in waiting)
                while more and asked < 2 * others and len(waiting) < 2 * others + 2:
                    for piece in next_piece():
                        waiting.append(executor.submit(self._ask, piece))
                        asked += 1
                if not waiting:
                    return
                if not waiting[0].done() and more and len(waiting) < 2 * others + 2:
                    for piece in next_piece():
                        waiting.append(self._here(piece))
                    continue
                yield _opened(waiting.popleft().result())
        finally:
            for future in waiting:
                future.cancel()
            if waiting:  # the caller takes no more results: do not wait for those in progress
                self._kill()
            executor.shutdown()

    def _here(self, piece: Piece) -> Future[Any]:
        """Run the job in this thread, with its result as a future."""
        future: Future[Any] = Future()
        try:
            future.set_result(_Here(self._job(piece)))
        except Exception as error:
            future.set_exception(error)
        return future

    def _ask(self, piece: Piece) -> bytes:
        question = pickle.dumps(piece, 5)
        for _ in range(2):
            worker = self._worker()
            try:
                answer = worker.ask(question)
            except WorkerGone:  # dead and reaped
                if self._closed:
                    raise
                ended = worker.process.returncode
                continue
            with self._lock:
                self._idle.append(worker)
            return answer
        raise UserError(
            f"a worker process died twice on the same rows (exit status {ended}; -9 usually means out of "
            "memory); use --processes 1 to work in a single process"
        )

    def _worker(self) -> WorkerProcess:
        with self._lock:
            if self._closed:
                raise WorkerGone("the pool is closed")
            if self._idle:
                return self._idle.pop()
            arguments = (str(self._packed), str(self._folder))
            worker = WorkerProcess("vlt.pool_worker", *arguments, environment=ENVIRONMENT)
            self._all.append(worker)
            return worker

    def _travels(self) -> bool:
        """Whether the job can be pickled; if so, it is, once."""
        if self._packed is None and self._most > 1:
            packed = travels(self._job)
            if packed is None:
                self._most = 1
                return False
            self._packed = self._folder / "job.pickle"
            self._packed.write_bytes(packed)
        return self._packed is not None

    def _kill(self) -> None:
        with self._lock:
            self._closed = True
            for worker in self._all:
                with suppress(OSError):
                    worker.process.kill()  # the thread waiting for its answer closes the pipes

    def __exit__(self, *_ended: object) -> None:
        self._kill()
        for worker in self._all:
            worker.kill()


def shared_out(
    job: Callable[[Piece], Made], pieces: Iterable[Piece], total: int
) -> Generator[Made, None, None]:
    """The job's results for `total` pieces, in their order, from a temporary pool."""
    with (
        tempfile.TemporaryDirectory(prefix="vlt-") as folder,
        ProcessPool(job, Path(folder)) as pool,
    ):
        yield from pool.map(pieces, total)


class _Here:
    """A result computed in this process."""

    def __init__(self, made: Any):
        self.made = made


_END: Any = object()
ALIGNED = 64
"""Bytes; Arrow's buffers are aligned to this."""
IN_PIPE = 1 << 12
"""Smaller buffers are sent with the answer itself."""


def _opened(answer: Any) -> Any:
    """The result in an answer; raises what the job raised."""
    if isinstance(answer, _Here):
        return answer.made
    file, places, content = pickle.loads(answer)
    buffers: list[memoryview] = []
    if file:
        with open(file, "rb") as opened:
            mapped = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        Path(file).unlink()  # its content stays while it is mapped
        buffers = [mapped[start : start + size] for start, size in places]
    failed, made = pickle.loads(content, buffers=buffers)
    if failed:
        raise made
    return made


def packed_answer(failed: bool, made: Any, file: Path) -> bytes:
    """The inverse of `_opened`: an answer whose large buffers are written to `file`."""
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < IN_PIPE:
            return True
        buffers.append(raw)
        return False

    content = pickle.dumps((failed, made), 5, buffer_callback=keep)
    places: list[tuple[int, int]] = []
    end = 0
    if buffers:
        with open(file, "xb") as out:
            for raw in buffers:
                out.write(b"\0" * (-end % ALIGNED))
                end += -end % ALIGNED
                out.write(raw)
                places.append((end, raw.nbytes))
                end += raw.nbytes
    return pickle.dumps((str(file) if buffers else None, places, content), 5)


def portable(error: Exception) -> Exception:
    """The error in a form that can be pickled: unchanged, or as a RuntimeError with its name and message."""
    try:
        pickle.loads(pickle.dumps(error))
    except (
        Exception
    ):  # whatever its class raises when unpickled, e.g. for an __init__ with arguments
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            plain.add_note(note)
        return plain
    return error
