"""The servers that share a run's work; on a cluster they join and leave during the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence

from vlt.engine.endpoint import Endpoint


class Endpoints(Collection[Endpoint]):
    """The current servers. `join` and `leave` may be called from any thread."""

    def __init__(
        self, make: Callable[[str], Endpoint], urls: Sequence[str], woken: Callable[[], None]
    ):
        """`woken` is called when a server has joined."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop that requests run in, from the first one on."""
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
        """The number of requests that may be in flight now, over all servers."""
        return sum(endpoint.limit for endpoint in self._there if not endpoint.absent)

    @property
    def all_absent(self) -> bool:
        """Whether no server can be asked now."""
        return all(endpoint.absent for endpoint in self._there)

    def least_busy(self) -> Endpoint | None:
        """The least busy server with room; None if all are full."""
        free = [endpoint for endpoint in self._there if endpoint.free]
        return min(free, key=lambda endpoint: endpoint.in_flight / endpoint.limit, default=None)

    def join(self, url: str) -> Endpoint:
        """Add a server."""
        endpoint = self._make(url)
        self._soon(self._joined, endpoint)
        return endpoint

    def leave(self, endpoint: Endpoint) -> None:
        """Remove a server; its requests in flight are sent to others."""
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
