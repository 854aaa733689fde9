"""Work in threads, in the order in which it was given."""

from __future__ import annotations

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
    """`map(work, given)` on so many threads, whose names begin with `name`.

    `given` is read as it is needed: at most `ahead` results (twice the threads by default) are being
    made or wait to be taken, which bounds the memory. What `work` raises is raised where its result
    would have come. With one thread the work is done here, one after the other.
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
        finally:  # whoever takes no more results does not wait for those that nobody began
            for future in waiting:
                future.cancel()


class InTurn:
    """One thread that does what it is given, one after the other, while its caller goes on.

    Where `ahead` things wait already, the caller waits too, which bounds the memory; with 0 it does all
    itself. What one of them raises is raised by a later `do`, or by `finish`.
    """

    def __init__(self, ahead: int, name: str = ""):
        self._ahead, self._name = ahead, name
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[Any]] = deque()

    def do(self, work: Callable[..., object], *given: Any) -> None:
        """Do it behind all that was given before."""
        if not self._ahead:
            work(*given)
            return
        self._pool = self._pool or ThreadPoolExecutor(1, self._name)
        while len(self._waiting) >= self._ahead:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(work, *given))

    def finish(self) -> None:
        """Wait until all is done, and end the thread."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self.stop()

    def stop(self) -> None:
        """End the thread; what it has not begun is not done. Harmless when it has ended."""
        while self._waiting:
            self._waiting.pop().cancel()
        if self._pool:
            self._pool.shutdown()
            self._pool = None
