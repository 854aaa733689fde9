"""Processes pieces of work as tasks on a Ray cluster, with results in order.

A task reads the files that its piece names on the shared disk, writes its result to a file there, and returns
the file's name once it is complete; Ray transports nothing else. So no result is lost with a node. A piece
whose node or process is lost is submitted again; an exception of the job is raised at the position of its
result.

Pieces that contain rows go through Ray's object store, where this node keeps a copy.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from uuid import uuid4

from vlt import __version__
from vlt.cluster.address import VARIABLE, ray_address
from vlt.cluster.connection import connected
from vlt.errors import UserError
from vlt.packed_answer import opened_answer, packed_answer, portable
from vlt.plural import plural

Piece = TypeVar("Piece")
DEATHS = 3
"""Deaths of a piece's process, not counting lost nodes, after which the piece itself must be the cause."""
PATIENCE = 120.0
"""Seconds that the cluster may have no core: Ray takes about 15 to notice a lost node, and an autoscaler
needs time to start another."""
LOOK = 1.0
"""Seconds between two checks of the cluster while waiting."""
ASKED, HELD = 2, 4
"""Pieces per core: submitted at once, and these with the results that wait, on the disk, for their turn."""
TOLD = 1 << 14
"""Bytes of an answer that Ray may transport; a larger one goes into a file. Ray keeps large values in the
memory of the node, with which they would be lost."""


@dataclass
class _Asked(Generic[Piece]):
    """A submitted piece."""

    piece: Piece
    question: bytes
    deaths: int = 0
    answer: bytes | None = None
    made: tuple[Any] | None = None
    """The result, if it was given up on the cluster."""


class Tasks(Generic[Piece]):
    """A job that runs on the nodes of the cluster named by `--ray`.

    Raises UserError if the connection fails.
    """

    def __init__(
        self,
        job: Path,
        folder: Path,
        environment: Mapping[str, str],
        given_up: Callable[[Piece], Any],
    ):
        """`job`: file of the pickled job; `folder`: for results; `environment`: variables for the tasks.

        `given_up` returns the result of a piece whose process died DEATHS times, or raises.
        """
        self._ray = connected()
        self._folder, self._given_up = folder.absolute(), given_up
        self._cores, self._looked = 0.0, 0.0
        self._seen_cores = time.monotonic()
        variables = {**environment, VARIABLE: ""}
        self._task = self._ray.remote(_carried_out).options(
            num_cpus=1,
            max_retries=0,  # _take submits lost pieces again, and counts deaths
            runtime_env={"env_vars": variables},
            name="vlt",
        )
        own = (sys.prefix, sys.base_prefix)
        path = [p for p in map(os.path.abspath, sys.path) if not p.startswith(own)]
        self._given = (__version__, os.getcwd(), path, str(job.absolute()))
        self._pending: dict[Any, _Asked[Piece]] = {}

    def map(self, given: Iterator[Piece], most: int | None = None) -> Generator[Any, None, None]:
        """The results for the pieces, in their order; at most `most` pieces are in progress at once."""
        waiting: deque[_Asked[Piece]] = deque()
        more = True
        try:
            while True:
                self._settle(0)
                cores = max(1, int(self._look()))
                held = min(HELD * cores, most or HELD * cores)
                while more and len(self._pending) < ASKED * cores and len(waiting) < held:
                    piece = next(given, _END)
                    if more := piece is not _END:
                        asked = _Asked(piece, pickle.dumps(piece, 5))
                        waiting.append(asked)
                        self._ask(asked)
                if not waiting:
                    return
                if waiting[0].made:
                    yield waiting.popleft().made[0]  # type: ignore[index]
                elif (answer := waiting[0].answer) is not None:
                    waiting.popleft()
                    yield self._opened(answer)
                else:
                    self._settle(LOOK)
        finally:
            for task in self._pending:
                self._ray.cancel(task, force=True)
            self._pending.clear()

    def _ask(self, asked: _Asked[Piece]) -> None:
        name = str(self._folder / f"answer-{uuid4().hex}")
        self._pending[self._task.remote(*self._given, asked.question, name)] = asked

    def _settle(self, seconds: float) -> None:
        """Take the answers of finished tasks, waiting at most this long for one; submit lost ones again."""
        if not self._pending:
            return
        wait = self._ray.wait
        done, rest = wait(list(self._pending), num_returns=1, timeout=seconds)
        if done and rest:
            done += wait(rest, num_returns=len(rest), timeout=0)[0]
        for task in done:
            self._take(task, self._pending.pop(task))

    def _take(self, task: Any, asked: _Asked[Piece]) -> None:
        errors = self._ray.exceptions
        try:
            asked.answer, asked.question = self._ray.get(task), b""
        except (errors.NodeDiedError, errors.ObjectLostError):
            self._ask(asked)
        except (errors.WorkerCrashedError, errors.OutOfMemoryError):
            asked.deaths += 1
            if asked.deaths == DEATHS:
                asked.made = (self._given_up(asked.piece),)
            else:
                self._ask(asked)
        except errors.RayError as error:  # the job's own errors come as answers
            words = " ".join(str(error).split())
            raise UserError(
                f"a task on the Ray cluster at {ray_address()} failed ({words[-300:]}); check that vlt-loop "
                f"{__version__} and its dependencies are installed on every node"
            ) from error

    def _look(self) -> float:
        """The number of cores of the cluster; raises UserError if it has had none for PATIENCE seconds."""
        now = time.monotonic()
        if now - self._looked >= LOOK:
            self._looked = now
            self._cores = self._ray.cluster_resources().get("CPU", 0.0)
        if self._cores:
            self._seen_cores = now
        elif now - self._seen_cores > PATIENCE:
            raise UserError(
                f"the Ray cluster at {ray_address()} has had no core for {plural(int(PATIENCE), 'second')}; "
                "add a node with `ray start --address=...` and run the command again"
            )
        return self._cores

    def _opened(self, answer: bytes) -> Any:
        """The result; raises UserError if the node cannot see a file that exists here."""
        try:
            told: bytes | str
            node, told = pickle.loads(answer)
            if isinstance(told, str):
                file = Path(told)
                told = file.read_bytes()
                file.unlink()
            return opened_answer(told, copied=True)
        except FileNotFoundError as error:
            missing = error.filename and Path(error.filename)
            if not (missing and missing.exists()):
                raise
            if missing.parent == self._folder:  # the job itself
                missing = self._folder.parent
            raise UserError(
                f"the node {node} of the Ray cluster cannot see {str(missing.absolute())!r}; put it on a "
                "disk that all nodes share, under the same path"
            ) from error


_END: Any = object()
_loaded: tuple[str, Any] = ("", None)
"""On a node: the file of the newest job, and the job."""


def _carried_out(
    version: str, home: str, path: list[str], job: str, question: bytes, name: str
) -> bytes:
    """Runs on a node. Returns (its name, the answer or the file that contains it), pickled."""
    node = socket.gethostname()
    try:
        if version != __version__:
            raise UserError(
                f"the node {node} of the Ray cluster has vlt {__version__}, and this machine {version}; "
                "install the same version on every node"
            )
        if os.path.isdir(home):
            os.chdir(home)  # for relative paths
        sys.path += [place for place in path if place not in sys.path]
        answer = packed_answer(False, _job(job)(pickle.loads(question)), Path(f"{name}-buffers"))
    except Exception as error:
        # A traceback does not travel.
        error.add_note(f"on the node {node} of the Ray cluster:\n{traceback.format_exc()}")
        answer = packed_answer(True, portable(error), Path(f"{name}-error"))
    if len(answer) <= TOLD:
        return pickle.dumps((node, answer), 5)
    part = Path(f"{name}.part")
    part.write_bytes(answer)
    os.replace(part, name)
    return pickle.dumps((node, name), 5)


def _job(file: str) -> Any:
    global _loaded
    if _loaded[0] != file:
        with open(file, "rb") as opened:
            _loaded = (file, pickle.load(opened))
    return _loaded[1]
