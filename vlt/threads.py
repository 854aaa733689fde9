"""Work in threads, with results in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def map_in_order(
    work: Callable[[Given], Made],
    given: Iterable[Given],
    threads: int,
    *,
    ahead: int | None = None,
    name: str = "",
) -> Generator[Made, None, None]:
    """`map(work, given)` on `threads` threads, whose names start with `name`.

    `given` is read lazily: at most `ahead` results (twice the threads by default) are in progress or
    waiting to be taken, which bounds the memory. An exception of `work` is raised at the position of its
    result. With one thread the work is done in the calling thread.
    """
    if threads < 2:
        yield from map(work, given)
        return
    most = 2 * threads if ahead is None else ahead
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, name) as pool:
        try:
            for each in given:
                waiting.append(pool.submit(work, each))
                if len(waiting) >= most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # if the caller takes no more results, do not start the rest
            for future in waiting:
                future.cancel()


class InTurn:
    """One thread that runs calls in order, while its caller continues.

    If `ahead` calls are waiting, the caller waits too, which bounds the memory; with 0 the caller runs them
    itself. An exception of a call is raised by a later `do`, or by `finish`.
    """

    def __init__(self, ahead: int, name: str = ""):
        self._ahead, self._name = ahead, name
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[Any]] = deque()

    def do(self, work: Callable[..., object], *given: Any) -> None:
        """Run a call after all earlier ones."""
        if not self._ahead:
            work(*given)
            return
        self._pool = self._pool or ThreadPoolExecutor(1, self._name)
        while len(self._waiting) >= self._ahead:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(work, *given))

    def finish(self) -> None:
        """Wait until all calls are done, and end the thread."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self.stop()

    def stop(self) -> None:
        """End the thread, discarding calls that have not started. Harmless if it has ended."""
        while self._waiting:
            self._waiting.pop().cancel()
        if self._pool:
            self._pool.shutdown()
            self._pool = None


class Room:
    """What several threads may hold at once, e.g. in bytes: `take` waits until others give theirs back.

    Who takes more than all of it gets it when nothing else is held.
    """

    def __init__(self, size: int):
        self._size, self._held = size, 0
        self._changed = threading.Condition()

    def take(self, amount: int) -> None:
        """Hold so much more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + amount <= self._size)
            self._held += amount

    def during(self, amount: int, work: Callable[..., object], *given: Any) -> None:
        """Run a call for which this amount was taken, and give it back, however the call ends."""
        try:
            work(*given)
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()
