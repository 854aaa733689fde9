"""One server: its connections, how many requests it takes at a time, and whether it is there."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from vlt.engine.reply import Reply, TryAgain, read_reply
from vlt.errors import UsageError

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 15.0
LONGEST_ABSENCE_CHECK = 30.0
SILENCE_SECONDS = 10.0
"""After so long without a reply a server is asked whether it still takes connections."""
_HALVE_AT_MOST_EVERY = 1.0


class NotThere(Exception):
    """No connection could be made, which says nothing about the request."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Endpoint:
    """A base URL with its own limit on requests in flight.

    The limit falls to half when the server says that it is overloaded (at most once a second, since
    what is in flight then all says the same) and grows by one for each limit's worth of answers.
    """

    def __init__(self, base_url: str, concurrency: int, key: str | None, timeout: float):
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise UsageError(
                f"--base-url {base_url!r} is not a URL; write e.g. http://localhost:8000/v1"
            )
        self.url = base_url.rstrip("/")
        self.in_flight = 0
        self.proved = False
        """It has answered a chat completion."""
        self.heard = 0.0
        """time.monotonic() of its last reply of any kind."""
        self.absent_until = 0.0
        """time.monotonic(); it is left out until then."""
        self.absence = ""
        """Why it was left out last."""
        self._absences = 0
        self._concurrency = concurrency
        self._limit = float(concurrency)
        self._halved = 0.0
        self._key, self._timeout = key, timeout
        # A proxy of the environment is meant for the world outside this machine.
        self._use_proxy = url.hostname not in ("localhost", "127.0.0.1", "::1")
        self._place = url.hostname, url.port or (443 if url.scheme == "https" else 80)
        self._session: aiohttp.ClientSession | None = None
        self._watching: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[Any]] = set()
        self._abandoned: set[asyncio.Task[Any]] = set()

    @property
    def limit(self) -> int:
        """Requests that it may have in flight now; one while it is being tried after an absence."""
        return 1 if self._absences else max(1, int(self._limit))

    @property
    def absent(self) -> bool:
        """Whether it is left out at the moment."""
        return time.monotonic() < self.absent_until

    @property
    def free(self) -> bool:
        """Whether it takes one more request."""
        return self.in_flight < self.limit and not self.absent

    async def ask(self, body: bytes, model: str) -> Reply:
        """Send one request. Raises NotThere, TryAgain, Refused or UserError."""
        import aiohttp

        session = self._session or self._open()
        url = f"{self.url}/chat/completions"
        task = asyncio.current_task()
        assert task, "asked in a task"
        self._asking.add(task)
        try:
            async with session.post(url, data=body, allow_redirects=False) as response:
                raw = await response.read()
        except asyncio.CancelledError:
            if task not in self._abandoned:
                raise
            self._abandoned.remove(task)
            if task.uncancel():  # the whole run is being ended as well
                raise
            raise TryAgain("the server takes no connections any more and did not answer") from None
        except aiohttp.ClientConnectorError as error:
            raise self._missed(_why(error.os_error)) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise self._missed("no connection in time") from error
        except TimeoutError as error:
            raise TryAgain(f"no answer within {self._timeout:g} s", overloaded=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgain(f"the connection broke ({type(error).__name__})") from error
        finally:
            self._asking.remove(task)
        self._absences, self.heard = 0, time.monotonic()
        try:
            reply = read_reply(
                response.status, response.headers, raw, self.url, model, proved=self.proved
            )
        except TryAgain as again:
            if again.overloaded:
                self._halve()
            raise
        self.proved = True
        self._limit = min(self._concurrency, self._limit + 1.0 / self._limit)
        return reply

    async def close(self) -> None:
        """Close its connections."""
        if self._watching:
            self._watching.cancel()
            await asyncio.wait([self._watching])
            self._watching = None
        if self._session:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=CONNECT_SECONDS),
            headers=headers,
            trust_env=self._use_proxy,
        )
        if not (self._use_proxy and getproxies()):
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        return self._session

    async def _watch(self) -> None:
        """Give up what is in flight at a server that is going away.

        One that was told to end takes no connections any more but waits for those that it has; where its
        engine is dead already, each would wait for the other until a request's time is over.
        """
        while True:
            await asyncio.sleep(SILENCE_SECONDS)
            silent = time.monotonic() - self.heard >= SILENCE_SECONDS
            if silent and self._asking and await self._refuses():
                for task in self._asking - self._abandoned:
                    self._abandoned.add(task)
                    task.cancel()

    async def _refuses(self) -> bool:
        try:
            _, writer = await asyncio.wait_for(
                asyncio.open_connection(*self._place), CONNECT_SECONDS
            )
        except ConnectionRefusedError:
            return True
        except OSError:  # a TimeoutError, too: it may be busy
            return False
        writer.close()
        return False

    def _missed(self, reason: str) -> NotThere:
        """Leave it out for a while, longer each time."""
        if not self.absent:  # requests that were sent together count once
            self._absences += 1
            self.absence = reason
            self.absent_until = time.monotonic() + min(
                LONGEST_ABSENCE_CHECK, 0.5 * 2.0 ** (self._absences - 1)
            )
        return NotThere(reason)

    def _halve(self) -> None:
        now = time.monotonic()
        if now - self._halved >= _HALVE_AT_MOST_EVERY:
            self._halved, self._limit = now, max(1.0, self._limit / 2)


def _why(error: OSError) -> str:
    """The system's words, without the address that the URL says already."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
