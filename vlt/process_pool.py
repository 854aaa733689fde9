"""One piece of work after another, in this process and in others beside it, results in order.

    with ProcessPool(job, folder) as pool:          # job: an object that is called with a piece
        for result in pool.map(pieces, len(pieces)):
            ...

The work begins here. Only when what is left is worth more than starting an interpreter (WORTH seconds
of it for each) do others join in, up to the setting of vlt.cores; small inputs never pay for them. They
are fresh interpreters (see vlt.worker_process): nothing is forked, so the caller may hold threads, torch
and a GPU. While they work, this process works as well, whenever it has no result to hand on.

A job and its pieces are pickled. A function or class of a file of the user's own goes as the file's path,
and the file is loaded again there; what cannot go (a function of a notebook, of a script, of another
function) keeps the whole job here. Arrow and numpy buffers of a result go through a file in `folder`,
which is mapped and not copied.

What a job raises is raised where its result would have come, as if it had been done here. A process
that dies is replaced and asked once more. None outlives the `with` block, nor this process's death.
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
"""Seconds of work that are left for each process that is started: starting it costs about 0.7."""
ENVIRONMENT = {
    **dict.fromkeys(
        (VARIABLE, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
        "1",  # the cores are shared out already
    ),
    # Milliseconds after which Arrow gives back what it has freed. Between two pieces it would, and to
    # get it again costs as much as a tenth of the work.
    "MIMALLOC_PURGE_DELAY": "10000",
}
"""Of a process beside this one."""


class ProcessPool(AbstractContextManager["ProcessPool[Piece, Made]"], Generic[Piece, Made]):
    """A job that is done here, and in processes beside this one where that is worth it."""

    def __init__(self, job: Callable[[Piece], Made], folder: Path, most: int | None = None):
        """`folder` is there, and is removed by whoever made it; `most` is by default vlt.cores'."""
        self._job, self._folder = job, folder
        self._most = processes() if most is None else most
        self._packed: Path | None = None
        self._idle: list[WorkerProcess] = []
        self._all: list[WorkerProcess] = []
        self._lock = threading.Lock()
        self._closed = False

    def map(self, pieces: Iterable[Piece], total: int) -> Generator[Made, None, None]:
        """The job's results for the pieces, of which there are `total`, in their order.

        At most two results for each process and two more wait to be taken.
        """
        given = iter(pieces)
        for place, piece in enumerate(given):
            began = time.monotonic()
            made = self._job(piece)
            left = (time.monotonic() - began) * (total - place - 1)
            yield made
            # The first piece tells nothing: what is loaded and looked up once is done with it.
            if place and (others := min(self._most - 1, int(left / WORTH))) > 0 and self._travels():
                yield from self._shared(given, others)

    def _shared(self, given: Iterator[Piece], others: int) -> Generator[Made, None, None]:
        """All of the pieces, in so many processes and here."""
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
            if waiting:  # whoever takes no more results does not wait for those that are being made
                self._kill()
            executor.shutdown()

    def _here(self, piece: Piece) -> Future[Any]:
        """The job done by this thread, as if it had been asked for."""
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
            except WorkerGone:  # ended, and waited for
                if self._closed:
                    raise
                ended = worker.process.returncode
                continue
            with self._lock:
                self._idle.append(worker)
            return answer
        raise UserError(
            f"a process that worked beside this one died twice over the same rows (exit status {ended}; "
            "-9 is mostly a lack of memory); give --processes 1 to work in one process alone"
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
        """Whether the job can be pickled; it is, once."""
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
                    worker.process.kill()  # a thread that waits for its answer closes the pipes

    def __exit__(self, *_ended: object) -> None:
        self._kill()
        for worker in self._all:
            worker.kill()


def shared_out(
    job: Callable[[Piece], Made], pieces: Iterable[Piece], total: int
) -> Generator[Made, None, None]:
    """The job's results for `total` pieces, in their order, by a pool of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="vlt-") as folder,
        ProcessPool(job, Path(folder)) as pool,
    ):
        yield from pool.map(pieces, total)


class _Here:
    """A result that was made in this process."""

    def __init__(self, made: Any):
        self.made = made


_END: Any = object()
ALIGNED = 64
"""Bytes; Arrow's buffers begin at a multiple."""
IN_PIPE = 1 << 12
"""Smaller buffers go with the answer itself."""


def _opened(answer: Any) -> Any:
    """The result of an answer; raises what the job raised."""
    if isinstance(answer, _Here):
        return answer.made
    file, places, content = pickle.loads(answer)
    buffers: list[memoryview] = []
    if file:
        with open(file, "rb") as opened:
            mapped = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        Path(file).unlink()  # it lasts as long as it is mapped
        buffers = [mapped[start : start + size] for start, size in places]
    failed, made = pickle.loads(content, buffers=buffers)
    if failed:
        raise made
    return made


def packed_answer(failed: bool, made: Any, file: Path) -> bytes:
    """The other end of `_opened`: an answer whose big buffers are written to `file`."""
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
    """The error as it can go to another process: as it is, or by its name and words."""
    try:
        pickle.loads(pickle.dumps(error))
    except (
        Exception
    ):  # whatever its class raises when it is made again: an __init__ of more arguments
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            plain.add_note(note)
        return plain
    return error
