"""Any OpenAI-compatible server: chat completions over HTTP, many at a time.

`complete` is a plain generator that drives a private event loop: the loop runs only while the
caller waits for the next completion, so all that has arrived is handed over (and journalled)
before new requests are drawn and sent. A request costs about 0.2 ms of CPU here; the `openai`
package's own client, which costs 1 to 1.4 ms, is not on this path.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from vlt.engine import LoadImage
from vlt.engine.api_key import key_to_send
from vlt.engine.backoff import backoff
from vlt.engine.body import body, prefix
from vlt.engine.budget import Purse
from vlt.engine.endpoint import Endpoint, NotThere
from vlt.engine.interrupt import Interrupt, caught_interrupt
from vlt.engine.pending import Job, jobs_of
from vlt.engine.rate_limiter import Pace
from vlt.engine.reply import Refused, Reply, TryAgain
from vlt.errors import UsageError, UserError
from vlt.request import Completion, Failure, Request

TRIES = 8
"""How often a request is sent before its samples are given up (about a minute and a half)."""
TIMEOUT_SECONDS = 600.0
"""For one request, its wait in the server's queue included."""
PATIENCE_SECONDS = 300.0
"""How long a run waits for servers that have answered before and are all gone."""
SLOT_CHECK_SECONDS = 0.1
DRAWING_SECONDS, TURN_SECONDS = 0.05, 0.02
"""After so long with drawing requests, what is in flight gets a turn of so long."""
SLEEPERS_PER_SLOT = 4
"""Requests that wait for another try, for each that may be in flight."""


class OpenAIEngine:
    """Implements vlt.engine.Engine; servers share the work, one that is not there is left out."""

    def __init__(
        self,
        model: str,
        base_urls: Sequence[str],
        *,
        load_image: LoadImage,
        api_key: str | None = None,
        concurrency: int = 64,
        timeout: float = TIMEOUT_SECONDS,
        tries: int = TRIES,
        patience: float = PATIENCE_SECONDS,
        pace: Pace | None = None,
        purse: Purse | None = None,
        check: Callable[[], None] | None = None,
    ):
        """`concurrency` requests in flight at each server; `timeout` seconds for one request.

        `check` is called while no server is there; it raises where there is nothing to wait for.
        """
        if not base_urls:
            raise UsageError("no server is named; give --base-url, e.g. http://localhost:8000/v1")
        key = key_to_send(api_key)
        self.model = model
        self._load_image = load_image
        self._endpoints = [Endpoint(url, concurrency, key, timeout) for url in base_urls]
        self._tries, self._patience, self._check = tries, patience, check
        self._pace, self._purse = pace, purse
        # Who can check that a server will come back has also seen it come.
        self._there = time.monotonic() if check else 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: deque[Job] = deque()
        self._results: deque[Completion | Failure] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped: asyncio.Task[None] | None = None
        """A task that ended with an error, which ends the run."""
        self._sleeping = 0
        self._singly = False
        """The server does not honour `n`."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion | Failure]:
        """See vlt.engine.Engine."""
        import aiohttp  # noqa: F401  # now, and not in the first request's turn

        self._loop = self._loop or asyncio.new_event_loop()
        try:
            with caught_interrupt(self._loop) as interrupt:
                yield from self._results_of(iter(requests), self._loop, interrupt)
        finally:
            self._cancel()

    def _results_of(
        self, drawn: Iterator[Request], loop: asyncio.AbstractEventLoop, interrupt: Interrupt
    ) -> Iterator[Completion | Failure]:
        more, ran = True, 0.0
        while True:
            while self._results:
                yield self._results.popleft()
            if self._stopped:
                self._stopped.result()
            if interrupt.pressed:
                raise KeyboardInterrupt
            while self._has_room():
                if not self._jobs and more:
                    request = next(drawn, None)
                    more = request is not None
                    self._jobs.extend(
                        jobs_of(request, request.samples, self._singly) if request else ()
                    )
                if not self._jobs or not self._affords(self._jobs[0]):
                    break
                self._start(self._jobs.popleft())
                if time.monotonic() - ran > DRAWING_SECONDS:
                    # The next request may be long in coming: this one must not wait for it.
                    end = loop.call_later(TURN_SECONDS, loop.stop)
                    loop.run_forever()
                    end.cancel()
                    ran = time.monotonic()
                    if self._results or self._stopped or interrupt.pressed:
                        break
            if self._results or self._stopped or interrupt.pressed:
                continue
            if not self._tasks:
                return
            loop.run_forever()  # until a task ends or falls asleep
            ran = time.monotonic()

    def close(self) -> None:
        """Close the connections and the private loop."""
        if self._loop:
            self._cancel()
            for endpoint in self._endpoints:
                self._loop.run_until_complete(endpoint.close())
            self._loop.close()
            self._loop = None

    def _has_room(self) -> bool:
        slots = sum(endpoint.limit for endpoint in self._endpoints if not endpoint.absent)
        awake = len(self._tasks) - self._sleeping
        return awake < max(1, slots) and self._sleeping <= SLEEPERS_PER_SLOT * slots

    def _affords(self, job: Job) -> bool:
        """Whether the budget takes this job; raises UserError where it does not and nothing runs."""
        if not (purse := self._purse):
            return True
        request = job.request
        job.most = purse.most(request.messages, len(job.samples), request.sampling.max_tokens)
        if purse.takes(job.most):
            return True
        if not self._tasks:
            raise purse.used_up(job.most)
        return False  # until what is in flight has turned out cheaper

    def _start(self, job: Job) -> None:
        if self._purse:
            self._purse.reserved += job.most
        assert self._loop
        task = self._loop.create_task(self._work(job))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task not in self._tasks:
            return  # cancelled: nobody waits for it
        self._tasks.remove(task)
        if not task.cancelled() and task.exception():
            self._stopped = task
        assert self._loop
        self._loop.stop()

    async def _work(self, job: Job) -> None:
        try:
            await self._answer(job)
        finally:
            if self._purse:
                self._purse.reserved -= job.most

    async def _answer(self, job: Job) -> None:
        """Ask until the job's samples are answered or given up."""
        while job.samples:
            try:
                await self._ask(job)
            except TryAgain as again:
                job.tries += 1
                if job.tries >= self._tries:
                    self._give_up(job, f"{again.reason} ({job.tries} tries)")
                else:
                    await self._sleep(backoff(job.tries, again.wait))
            except Refused as refused:
                if len(job.samples) == 1 or job.alone:
                    self._give_up(job, refused.reason)
                job.alone = True

    async def _ask(self, job: Job) -> None:
        """Send the job once and take what comes; raises TryAgain where samples are missing."""
        request = job.request
        samples = job.samples[:1] if job.alone or self._singly else job.samples
        seed = None if request.sampling.seed is None else request.sampling.seed + samples[0]
        head = prefix(self.model, request.sampling)
        try:
            content = body(head, request.messages, len(samples), seed, self._load_image)
        except (OSError, LookupError, UserError) as error:
            raise Refused(f"an image cannot be read: {error}") from error
        reply = await self._send(content)
        for sample, choice in zip(samples, reply.choices, strict=False):
            self._results.append(Completion(request.key, sample, *choice))
        count = min(len(samples), len(reply.choices))
        job.samples = job.samples[count:]
        if count < len(samples) and (reply.unfinished or not count):
            reason = f"finish_reason is {reply.unfinished}" if reply.unfinished else "no choices"
            raise TryAgain(f"the reply holds no answer: {reason}")
        if job.samples:  # an answer, but not as many as were asked for, or asked for alone
            self._singly = True
            self._jobs.extend(jobs_of(request, job.samples, self._singly))
            job.samples = ()

    async def _send(self, content: bytes) -> Reply:
        while True:
            counted_at = await self._pace.turn() if self._pace else 0.0
            endpoint = await self._slot()
            endpoint.in_flight += 1
            try:
                reply = await endpoint.ask(content, self.model)
            except NotThere:
                continue
            finally:
                endpoint.in_flight -= 1
            if self._pace:
                self._pace.replied(reply.prompt_tokens + reply.completion_tokens, counted_at)
            if self._purse:
                self._purse.spend(reply.prompt_tokens, reply.completion_tokens)
            return reply

    async def _slot(self) -> Endpoint:
        """The least busy server that takes one more; raises UserError where all are gone."""
        while True:
            if free := [endpoint for endpoint in self._endpoints if endpoint.free]:
                return min(free, key=lambda endpoint: endpoint.in_flight / endpoint.limit)
            if all(endpoint.absent for endpoint in self._endpoints):
                self._check_patience()
                back = min(endpoint.absent_until for endpoint in self._endpoints)
                await self._sleep(max(0.0, back - time.monotonic()))
            else:  # a limit has fallen below what is in flight
                await asyncio.sleep(SLOT_CHECK_SECONDS)

    def _check_patience(self) -> None:
        if self._check:
            self._check()
        heard = max(self._there, *(endpoint.heard for endpoint in self._endpoints))
        if heard and time.monotonic() - heard < self._patience:
            return
        absences = "; ".join(f"{e.url}: {e.absence}" for e in self._endpoints)
        advice = "start it" if not heard else "start it again, then run the same command to go on"
        raise UserError(f"no server answers ({absences}); {advice}")

    async def _sleep(self, seconds: float) -> None:
        assert self._loop
        self._sleeping += 1
        self._loop.stop()  # there may be room for another request now
        try:
            await asyncio.sleep(seconds)
        finally:
            self._sleeping -= 1

    def _give_up(self, job: Job, reason: str) -> None:
        self._results.append(Failure(job.request.key, job.samples, reason))
        job.samples = ()

    def _cancel(self) -> None:
        """Leave nothing in flight; requests that were are forgotten."""
        if not self._loop:
            return
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks))
        for task in tasks:
            if not task.cancelled():
                task.exception()  # taken, or asyncio would print it
        self._jobs.clear()
        self._results.clear()
        self._stopped = None
