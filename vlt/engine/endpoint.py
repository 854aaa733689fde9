"""One server: its connections, its limit of concurrent requests, and whether it is available."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from vlt.engine.lenient_json import loads
from vlt.engine.refusal import Refused, TryAgain, UnknownModel, named
from vlt.engine.reply import Reply, read_reply
from vlt.errors import UsageError
from vlt.near_names import near_names

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 15.0
LONGEST_ABSENCE_CHECK, LONGEST_LOADING_CHECK = 30.0, 5.0
LIST_SECONDS = 10.0
"""Timeout for the list of a server's models, which is only informative."""
SILENCE_SECONDS = 10.0
"""After this long without a reply, vlt checks whether the server still accepts connections."""
_HALVE_AT_MOST_EVERY = 1.0
# Newer OpenAI models reject the field's old name, and say so.
_OLD_LIMIT, _NEW_LIMIT = b'"max_tokens":', b'"max_completion_tokens":'
_WANTS_NEW_LIMIT = re.compile(r"max_tokens\b.*max_completion_tokens", re.I | re.S)


class NotThere(Exception):
    """No connection could be made, or the model is not loaded; the request itself may be fine."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Endpoint:
    """A base URL with its own limit on requests in flight.

    The limit is halved when the server reports overload (at most once a second, since all requests in
    flight then fail alike) and grows by one for each limit's worth of answers.
    """

    def __init__(
        self,
        base_url: str,
        concurrency: int,
        key: str | None,
        timeout: float,
        notice: Callable[[str], None] | None = None,
        *,
        near: bool = False,
    ):
        """`notice` is called with what a user should know about this server, once for each.

        `near`: it is on this machine's network, so no proxy is used.
        """
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise UsageError(
                f"--base-url {base_url!r} is not a URL; write e.g. http://localhost:8000/v1"
            )
        self.url = base_url.rstrip("/")
        self.in_flight = 0
        self.answers = 0
        """The number of requests that it has answered."""
        self.proved = False
        """It has answered a chat completion."""
        self.heard = 0.0
        """time.monotonic() of its last reply of any kind."""
        self.answered = 0.0
        """time.monotonic() of its last answer."""
        self.gone_since = 0.0
        """time.monotonic() of the first failure of its current or last absence."""
        self.absent_until = 0.0
        """time.monotonic(); no requests are sent until then."""
        self.absence = ""
        """Why it was last considered absent."""
        self._absences = 0
        self._concurrency = concurrency
        self._limit = float(concurrency)
        self._halved = 0.0
        self._key, self._timeout, self._notice = key, timeout, notice
        self._noticed: set[str] = set()
        self._new_limit = False
        """It wants max_completion_tokens instead of max_tokens."""
        self._structures: bool | None = None
        """It accepts a response_format; None: not tried yet."""
        # A proxy in the environment is meant for hosts other than this machine.
        self._use_proxy = not near and url.hostname not in ("localhost", "127.0.0.1", "::1")
        self._place = url.hostname, url.port or (443 if url.scheme == "https" else 80)
        self._session: aiohttp.ClientSession | None = None
        self._watching: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[Any]] = set()
        self._abandoned: set[asyncio.Task[Any]] = set()

    @property
    def limit(self) -> int:
        """Maximum requests in flight now; one while it is being retried after an absence."""
        return 1 if self._absences else max(1, int(self._limit))

    @property
    def absent(self) -> bool:
        """Whether no requests are sent to it at the moment."""
        return time.monotonic() < self.absent_until

    @property
    def free(self) -> bool:
        """Whether one more request may be sent to it."""
        return self.in_flight < self.limit and not self.absent

    async def ask(self, body: bytes, model: str, structured: bytes = b"") -> Reply:
        """Send one request. Raises NotThere, TryAgain, Refused or UserError.

        `structured` is the part of the body with a response_format (see vlt.engine.body). A server
        that rejects the request with it but answers without gets none from then on.
        """
        first: Refused | None = None
        while True:
            renamed = self._new_limit
            sent = body.replace(_OLD_LIMIT, _NEW_LIMIT, 1) if renamed else body
            bare = bool(structured) and (self._structures is False or first is not None)
            sent = sent.replace(structured, b"", 1) if bare else sent
            try:
                reply = await self._ask(sent, model)
            except UnknownModel as error:
                listed = near_names(model, names := await self._models(), cutoff=0.4)
                listed += [name for name in names if name not in listed]
                raise UnknownModel(self.url, model, error.reason, listed) from None
            except Refused as refused:
                wants = _OLD_LIMIT in body and _WANTS_NEW_LIMIT.search(refused.reason)
                if wants and not renamed:
                    self._new_limit = True
                elif structured and not bare and not self._structures:
                    first = refused
                else:
                    raise first or refused from None
            else:
                if structured and self._structures is None:
                    self._structures = not bare
                    if bare:
                        self._tell(
                            f"{self.url} does not accept response_format"
                            f"{f' ({first.reason})' if first else ''}; requests are sent without it"
                        )
                return reply

    async def _ask(self, body: bytes, model: str) -> Reply:
        status, headers, raw = await self._post(body)
        self._absences = self._absences if status == 503 else 0
        self.heard = time.monotonic()
        try:
            reply = read_reply(status, headers, raw, self.url, model, proved=self.proved)
        except TryAgain as again:
            if again.loading or (again.unready and not self.proved):
                raise self._missed(again.reason, LONGEST_LOADING_CHECK) from again
            self._absences = 0
            if again.overloaded:
                self._halve()
            raise
        self.answered = self.heard
        self.answers += 1
        self._limit = min(self._concurrency, self._limit + 1.0 / self._limit)
        if not self.proved:
            self.proved = True
            await self._compare(model)
        if reply.unknown:
            self._tell(
                f"{self.url} ends answers with the unknown finish_reason {reply.unknown!r}; they are kept, "
                "with that word in the column finish_reason"
            )
        return reply

    async def _post(self, body: bytes) -> tuple[int, Any, bytes]:
        """(status, headers, body) of the reply."""
        import aiohttp

        session = self._session or self._open()
        url = f"{self.url}/chat/completions"
        task = asyncio.current_task()
        assert task, "asked in a task"
        self._asking.add(task)
        try:
            async with session.post(url, data=body, allow_redirects=False) as response:
                return response.status, response.headers, await response.read()
        except asyncio.CancelledError:
            if task not in self._abandoned:
                raise
            self._abandoned.remove(task)
            if task.uncancel():  # the whole run is being cancelled as well
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

    async def listed(self) -> tuple[int, list[str]]:
        """(HTTP status, names) of its list of models; raises NotThere if there is no answer in time."""
        import aiohttp

        session = self._session or self._open()
        limit = aiohttp.ClientTimeout(total=LIST_SECONDS)
        try:
            async with session.get(
                f"{self.url}/models", timeout=limit, allow_redirects=False
            ) as response:
                raw, status = await response.read(), response.status
        except aiohttp.ClientConnectorError as error:
            raise NotThere(_why(error.os_error)) from error
        except (aiohttp.ClientError, OSError) as error:  # including TimeoutError
            raise NotThere(f"no answer ({type(error).__name__})") from error
        try:
            found = loads(raw) if status == 200 else None
        except ValueError:
            found = None
        listed = found.get("data") if isinstance(found, dict) else found
        names = listed if isinstance(listed, list) else []
        return status, [str(m["id"]) for m in names if isinstance(m, dict) and m.get("id")]

    async def _models(self) -> list[str]:
        """The model names that it lists; empty if it lists none."""
        try:
            return (await self.listed())[1]
        except NotThere:
            return []

    async def _compare(self, model: str) -> None:
        """Notify the user if it answers for a model that it does not list: some accept any name."""
        names = await self._models()
        if names and model not in names:
            self._tell(
                f"{self.url} answers, but lists {named(names)} and not {model!r}; rows will have the model "
                f"{model!r}"
            )

    def _tell(self, sentence: str) -> None:
        if self._notice and sentence not in self._noticed:
            self._noticed.add(sentence)
            self._notice(sentence)

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
        """Give up the requests in flight at a server that is shutting down.

        It accepts no new connections but waits for open ones; if its engine is dead already, client and
        server would wait for each other until the requests time out.
        """
        while True:
            await asyncio.sleep(SILENCE_SECONDS)
            silent = time.monotonic() - self.heard >= SILENCE_SECONDS
            if silent and self._asking and await self._refuses():
                self.abandon()

    def abandon(self) -> None:
        """Cancel its requests in flight, so that they are sent again."""
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
        except OSError:  # including TimeoutError: it may be busy
            return False
        writer.close()
        return False

    def _missed(self, reason: str, longest: float = LONGEST_ABSENCE_CHECK) -> NotThere:
        """Send it no requests for a while, longer each time."""
        if not self.absent:  # requests sent together count once
            self.gone_since = self.gone_since if self._absences else time.monotonic()
            self._absences += 1
            self.absence = reason
            pause = min(longest, 0.5 * 2.0 ** (self._absences - 1))
            self.absent_until = time.monotonic() + pause
        return NotThere(reason)

    def _halve(self) -> None:
        now = time.monotonic()
        if now - self._halved >= _HALVE_AT_MOST_EVERY:
            self._halved, self._limit = now, max(1.0, self._limit / 2)


def _why(error: OSError) -> str:
    """The system's message, without the address, which the URL gives already."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
