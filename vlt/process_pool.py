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

Where `--ray` names a cluster, its nodes join in instead (see vlt.cluster.tasks), when what is left is worth
the connection (CLUSTER_WORTH): then `folder` lies on the disk that they share, as do the files that a job and
its pieces name.

What a job raises is raised where its result would have come, as if it had been done here. A process
that dies is replaced and asked once more. None outlives the `with` block, nor this process's death.
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
"""Seconds of work that are left for each process that is started: starting it costs about 0.7."""
CLUSTER_WORTH = 10.0
"""Seconds of work, all together, that are left for a cluster: the connection and the first task on a node
cost about two, and each of its processes one."""
ENVIRONMENT = {
    **dict.fromkeys(
        (VARIABLE, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
        "1",  # the cores are shared out already
    ),
    # Milliseconds after which Arrow gives back what it has freed. Between two pieces it would, and to
    # get it again costs as much as a tenth of the work.
    "MIMALLOC_PURGE_DELAY": "10000",
}
"""Of a process beside this one, or on a node."""


class ProcessPool(AbstractContextManager["ProcessPool[Piece, Made]"], Generic[Piece, Made]):
    """A job that is done here, and in processes beside this one where that is worth it."""

    def __init__(self, job: Callable[[Piece], Made], folder: Path, most: int | None = None):
        """`folder` is there, and is removed by whoever made it; `most` is by default vlt.cores'."""
        self._job, self._folder = job, folder
        self._most = processes() if most is None else most
        self._packed: Path | None = None
        self._stays = False
        """Whether it cannot be pickled."""
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
            if not place:  # it tells nothing: what is loaded and looked up once is done with it
                continue
            if ray_address() is not None:
                if left > CLUSTER_WORTH and (job := self._travels()):
                    yield from self._on_cluster(job, given)
            elif (others := min(self._most - 1, int(left / WORTH))) > 0 and self._travels():
                yield from self._shared(given, others)

    def _on_cluster(self, job: Path, given: Iterator[Piece]) -> Generator[Made, None, None]:
        """All of the pieces, by the nodes of the cluster."""
        from vlt.cluster.tasks import DEATHS, Tasks

        def given_up(_piece: Piece) -> Made:
            raise UserError(
                f"a process on the Ray cluster died {DEATHS} times over the same rows (mostly of a lack of "
                "memory); give its nodes more, or leave out --ray"
            )

        with closing(Tasks(job, self._folder, ENVIRONMENT, given_up).map(given)) as made:
            yield from made

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
                made = waiting.popleft().result()
                yield made.made if isinstance(made, _Here) else opened_answer(made)
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

    def _travels(self) -> Path | None:
        """The file of the job, which is pickled once; None where it cannot be."""
        if self._packed is None and not self._stays:
            packed = travels(self._job)
            if packed is None:
                self._stays = True
                return None
            self._packed = self._folder / "job.pickle"
            self._packed.write_bytes(packed)
        return self._packed

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
    job: Callable[[Piece], Made], pieces: Iterable[Piece], total: int, beside: Path
) -> Generator[Made, None, None]:
    """The job's results for `total` pieces, in their order, by a pool of its own.

    `beside` is as in `pool_folder`.
    """
    with pool_folder(beside) as folder, ProcessPool(job, folder) as pool:
        yield from pool.map(pieces, total)


@contextmanager
def pool_folder(beside: Path) -> Iterator[Path]:
    """A folder for a pool, gone when the body ends: in `beside` where `--ray` names a cluster, whose nodes
    must see it, else where the system has such ones."""
    if ray_address() is None:
        with tempfile.TemporaryDirectory(prefix="vlt-") as folder:
            yield Path(folder)
    else:
        with task_folder(beside) as shared:
            yield shared


class _Here:
    """A result that was made in this process."""

    def __init__(self, made: Any):
        self.made = made


_END: Any = object()
