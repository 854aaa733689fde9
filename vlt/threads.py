"""Work in threads, its results in the order of what was given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
