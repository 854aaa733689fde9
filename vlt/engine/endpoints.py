"""The servers that share a run's work; on a cluster they come and go while it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence

from vlt.engine.endpoint import Endpoint


class Endpoints(Collection[Endpoint]):
    """Those that are there now. `join` and `leave` may be called by another thread than the one that asks."""

    def __init__(
        self, make: Callable[[str], Endpoint], urls: Sequence[str], woken: Callable[[], None]
    ):
        """`woken` is called when one has come."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """In which they are asked, from the first request on."""
        self._make, self._woken = make, woken
        self._there = [make(url) for url in urls]
        self._leaving: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._there)

    def __len__(self) -> int:
        return len(self._there)

    def __contains__(self, endpoint: object) -> bool:
        return endpoint in self._there

    @property
    def slots(self) -> int:
        """Requests that all of them may have in flight now."""
        return sum(endpoint.limit for endpoint in self._there if not endpoint.absent)

    @property
    def all_absent(self) -> bool:
        """Whether nobody is there to be asked."""
        return all(endpoint.absent for endpoint in self._there)

    def least_busy(self) -> Endpoint | None:
        """The one that takes another request most easily; None where all have what they take."""
        free = [endpoint for endpoint in self._there if endpoint.free]
        return min(free, key=lambda endpoint: endpoint.in_flight / endpoint.limit, default=None)

    def join(self, url: str) -> Endpoint:
        """From now on it is asked as well."""
        endpoint = self._make(url)
        self._soon(self._joined, endpoint)
        return endpoint

    def leave(self, endpoint: Endpoint) -> None:
        """It is not asked any more, and what is in flight there is asked elsewhere."""
        self._soon(self._left, endpoint)

    async def close(self) -> None:
        """Close all connections."""
        for endpoint in self._there:
            await endpoint.close()
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _soon(self, change: Callable[[Endpoint], None], endpoint: Endpoint) -> None:
        if self.loop is None:
            change(endpoint)
        else:
            self.loop.call_soon_threadsafe(change, endpoint)

    def _joined(self, endpoint: Endpoint) -> None:
        self._there.append(endpoint)
        self._woken()

    def _left(self, endpoint: Endpoint) -> None:
        self._there.remove(endpoint)
        endpoint.abandon()
        if self.loop:
            task = self.loop.create_task(endpoint.close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
