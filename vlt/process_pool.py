"""Processes pieces of work in this process and in worker processes, with results in order.

    with ProcessPool(job, folder) as pool:          # job: an object that is called with a piece
        for result in pool.map(pieces, len(pieces)):
            ...

The work starts in this process. Workers are started only if the remaining work is worth it (WORTH seconds
for each), up to the setting of vlt.cores; small inputs never pay for them. They are fresh interpreters
(see vlt.worker_process): nothing is forked, so the caller may use threads, torch and a GPU. This process
works too: alone until a worker is ready, and then whenever it has no result to yield.

A job and its pieces are pickled. A function or class from a user's file is sent as the file's path, and
the file is loaded again in the worker; if something cannot be sent (a function of a notebook, of a script,
of another function), the whole job stays in this process. Arrow and numpy buffers of a result go through
a file in `folder`, which is memory-mapped, not copied.

An exception of the job is raised at the position of its result, as if the job had run here. A worker
that dies is replaced and its piece retried once. No worker outlives the `with` block, or this process.

With `--ray`, the nodes of a cluster take the workers' place (see vlt.cluster.tasks) if the remaining work is
worth the connection (CLUSTER_WORTH). Then `folder` must be on their shared disk, like the files that the job
and its pieces refer to.
"""

from __future__ import annotations

import pickle
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from vlt.cluster.address import ray_address
from vlt.cluster.folder import task_folder
from vlt.cores import VARIABLE, processes
from vlt.errors import UserError
from vlt.packed_answer import opened_answer
from vlt.plugins import travels
from vlt.worker_process import WorkerGone, WorkerProcess

Piece = TypeVar("Piece")
Made = TypeVar("Made")
WORTH = 4.0
"""Minimum seconds of remaining work per worker: starting one costs about 0.7."""
AHEAD = 4
"""Results of this process that wait for a worker's earlier one; a worker's first piece takes longer."""
CLUSTER_WORTH = 10.0
"""Minimum seconds of remaining work for a cluster, in total: connecting and starting a process on each core
costs about 1.5 each."""
ENVIRONMENT = {
    **dict.fromkeys(
        (VARIABLE, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
        "1",  # the cores are distributed over the workers
    ),
    # Milliseconds after which Arrow returns freed memory to the system. The default would do so between
    # two pieces, and getting it back costs as much as a tenth of the work.
    "MIMALLOC_PURGE_DELAY": "10000",
}
"""The environment of a worker, and of a task on a cluster."""


class ProcessPool(AbstractContextManager["ProcessPool[Piece, Made]"], Generic[Piece, Made]):
    """A job that runs in this process, and in workers if that is worth it."""

    def __init__(self, job: Callable[[Piece], Made], folder: Path, most: int | None = None):
        """`folder` exists, and the caller removes it; `most` processes, by default vlt.cores' setting."""
        self._job, self._folder = job, folder
        self._most = processes() if most is None else most
        self._packed: Path | None = None
        self._stays = False
        """Whether the job cannot be pickled."""
        self._started = 0
        self._starting: list[WorkerProcess] = []
        self._idle: list[WorkerProcess] = []
        self._all: list[WorkerProcess] = []
        self._changed = threading.Condition()
        """Of what stands above and below."""
        self._closed = False

    def map(self, pieces: Iterable[Piece], total: int) -> Generator[Made, None, None]:
        """The job's results for the `total` pieces, in their order.

        At most two results per worker and AHEAD more are waiting to be taken.
        """
        given = iter(pieces)
        others = 0
        for place, piece in enumerate(given):
            began = time.monotonic()
            made = self._job(piece)
            left = (time.monotonic() - began) * (total - place - 1)
            yield made
            if ray_address() is not None:
                if place and left > CLUSTER_WORTH and (job := self._travels()):
                    yield from self._on_cluster(job, given)
            elif place > 1 and others:
                if self._ready():
                    yield from self._shared(given, others)
            elif (worth := self._worth(left, first=not place)) > others and self._travels():
                others = worth
                self._start(others)

    def _worth(self, left: float, *, first: bool) -> int:
        """The number of workers that these seconds of work are worth, judging by the last piece.

        Half of the time of the first may be one-time loading, so it can justify one worker at most.
        """
        worth = min(self._most - 1, int((left / 2 if first else left) / WORTH))
        return min(worth, 1) if first else worth

    def _on_cluster(self, job: Path, given: Iterator[Piece]) -> Generator[Made, None, None]:
        """The results of all the pieces, from the nodes of the cluster."""
        from vlt.cluster.tasks import DEATHS, Tasks

        def given_up(_piece: Piece) -> Made:
            raise UserError(
                f"a process on the Ray cluster died {DEATHS} times on the same rows, which usually means out "
                "of memory; use nodes with more memory, or omit --ray"
            )

        with closing(Tasks(job, self._folder, ENVIRONMENT, given_up).map(given)) as made:
            yield from made

    def _shared(self, given: Iterator[Piece], others: int) -> Generator[Made, None, None]:
        """The results of all the pieces, from this process and those of `others` workers that are ready."""
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
                asked, ready = sum(not future.done() for future in waiting), self._ready()
                while more and asked < 2 * ready and len(waiting) < 2 * others + AHEAD:
                    for piece in next_piece():
                        waiting.append(executor.submit(self._ask, piece))
                        asked += 1
                if not waiting:
                    return
                if not waiting[0].done() and more and len(waiting) < 2 * others + AHEAD:
                    for piece in next_piece():
                        waiting.append(self._here(piece))
                    continue
                made = waiting.popleft().result()
                yield made.made if isinstance(made, _Here) else opened_answer(made)
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
        worker = self._taken()
        try:
            answer = worker.ask(question)
        except WorkerGone:  # dead and reaped
            worker = self._another()
            try:
                answer = worker.ask(question)
            except WorkerGone:
                self._give_back(self._another())  # others may be waiting for one
                raise UserError(
                    f"a worker process died twice on the same rows (exit status {worker.process.returncode}; "
                    "-9 usually means out of memory); use --processes 1 to work in a single process"
                ) from None
        self._give_back(worker)
        return answer

    def _start(self, number: int) -> None:
        """Start so many workers, unless they are there, without waiting until they are ready."""
        for _ in range(number - self._started):
            self._starting.append(self._another())
            self._started += 1

    def _ready(self) -> int:
        """The number of workers that have started so far, those that are at work included."""
        with self._changed:
            ready = [worker for worker in self._starting if worker.is_ready()]
            self._starting = [worker for worker in self._starting if worker not in ready]
            self._idle += ready
            self._changed.notify(len(ready))
            return self._started - len(self._starting)

    def _taken(self) -> WorkerProcess:
        """The next worker that is ready."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._closed)
            if self._closed:
                raise WorkerGone("the pool is closed")
            return self._idle.pop()

    def _give_back(self, worker: WorkerProcess) -> None:
        with self._changed:
            self._idle.append(worker)
            self._changed.notify()

    def _another(self) -> WorkerProcess:
        """A new worker, which is starting. Raises WorkerGone if the pool is closed."""
        with self._changed:
            if self._closed:
                raise WorkerGone("the pool is closed")
            arguments = (str(self._packed), str(self._folder))
            worker = WorkerProcess("vlt.pool_worker", *arguments, environment=ENVIRONMENT)
            self._all.append(worker)
            return worker

    def _travels(self) -> Path | None:
        """The file of the pickled job, written once; None if it cannot be pickled."""
        if self._packed is None and not self._stays:
            packed = travels(self._job)
            if packed is None:
                self._stays = True
                return None
            self._packed = self._folder / "job.pickle"
            self._packed.write_bytes(packed)
        return self._packed

    def _kill(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for worker in self._all:
                with suppress(OSError):
                    worker.process.kill()  # the thread waiting for its answer closes the pipes

    def __exit__(self, *_ended: object) -> None:
        self._kill()
        for worker in self._all:
            worker.kill()


def shared_out(
    job: Callable[[Piece], Made], pieces: Iterable[Piece], total: int, beside: Path
) -> Generator[Made, None, None]:
    """The job's results for `total` pieces, in their order, from a temporary pool.

    `beside`: see `pool_folder`.
    """
    with pool_folder(beside) as folder, ProcessPool(job, folder) as pool:
        yield from pool.map(pieces, total)


@contextmanager
def pool_folder(beside: Path) -> Iterator[Path]:
    """A temporary folder for a pool: with `--ray` in `beside`, which all nodes must see."""
    if ray_address() is None:
        with tempfile.TemporaryDirectory(prefix="vlt-") as folder:
            yield Path(folder)
    else:
        with task_folder(beside) as shared:
            yield shared


class _Here:
    """A result computed in this process."""

    def __init__(self, made: Any):
        self.made = made


_END: Any = object()
