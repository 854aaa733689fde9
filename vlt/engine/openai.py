"""Any OpenAI-compatible server: chat completions over HTTP, many at a time.

`complete` is a plain generator that drives a private event loop: the loop runs only while the
caller waits for the next completion, so everything that has arrived is handed over (and journaled)
before new requests are drawn and sent. A request costs about 0.2 ms of CPU (the `openai` package: 1.4).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from vlt.engine import LoadImage
from vlt.engine.api_key import key_to_send
from vlt.engine.backoff import backoff
from vlt.engine.body import body, prefix, structure
from vlt.engine.budget import Budget
from vlt.engine.endpoint import Endpoint, NotThere
from vlt.engine.endpoints import Endpoints
from vlt.engine.interrupt import Interrupt, caught_interrupt
from vlt.engine.outage import Outage
from vlt.engine.pending import Job, jobs_of
from vlt.engine.rate_limiter import RateLimiter
from vlt.engine.reply import Choice, Refused, Reply, TryAgain
from vlt.errors import UsageError, UserError
from vlt.request import Completion, Failure, Request, seed_of

TRIES = 8
"""How often a request is sent before its samples are given up (about a minute and a half)."""
TIMEOUT_SECONDS = 600.0
"""For one request, including its time in the server's queue."""
PATIENCE_SECONDS = 300.0
"""How long a run waits when all servers are gone, or still load their model."""
SLOT_CHECK_SECONDS, SLEEP_CHECK_SECONDS = 0.1, 1.0
DRAWING_SECONDS, TURN_SECONDS = 0.05, 0.02
"""After DRAWING_SECONDS of drawing requests, the loop runs for TURN_SECONDS to serve those in flight."""
SLEEPERS_PER_SLOT = 4
"""Maximum requests that wait for a retry, per request that may be in flight."""


class OpenAIEngine:
    """Implements vlt.engine.Engine; servers share the work, and absent ones are skipped.

    On a cluster another thread adds and removes `servers` during the run.
    """

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
        rate_limiter: RateLimiter | None = None,
        budget: Budget | None = None,
        check: Callable[[], None] | None = None,
        tell: Callable[[str], None] | None = None,
        notice: Callable[[str], None] | None = None,
    ):
        """`concurrency` requests in flight per server; `timeout` seconds for one request.

        `check` is called while no server answers, and raises if waiting is pointless; with it, all servers
        may join later. `tell` is called with what the run waits for, `notice` with what a user should know
        about a server, once for each.
        """
        if not base_urls and not check:
            raise UsageError("no server is given; give --base-url, e.g. http://localhost:8000/v1")
        key = key_to_send(api_key)
        self.model = model
        self._load_image = load_image
        near = not base_urls  # those that come later are of our cluster

        def endpoint(url: str) -> Endpoint:
            return Endpoint(url, concurrency, key, timeout, notice, near=near)

        self.servers = Endpoints(endpoint, base_urls, self._woken)
        self._outage = Outage(self.servers, patience, check, tell)
        self._tries, self._rate_limiter, self._budget = tries, rate_limiter, budget
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: deque[Job] = deque()
        self._results: deque[Completion | Failure] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped: asyncio.Task[None] | None = None  # the task whose error ends the run
        self._sleeping = 0
        self._singly = False  # the server does not honour `n`

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion | Failure]:
        """See vlt.engine.Engine."""
        import aiohttp  # noqa: F401  # now, not during the first request

        self._loop = self._loop or asyncio.new_event_loop()
        self.servers.loop = self._loop
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
                    # The next request may take long to draw; those in flight must not wait for it.
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
            self._loop.run_until_complete(self.servers.close())
            self._loop.close()
            self._loop = None

    def _woken(self) -> None:
        """A server has joined: there is room for more requests."""
        if self._loop and self._tasks:  # without tasks the loop is closing connections
            self._loop.stop()

    def _has_room(self) -> bool:
        slots = self.servers.slots
        awake = len(self._tasks) - self._sleeping
        return awake < max(1, slots) and self._sleeping <= SLEEPERS_PER_SLOT * slots

    def _affords(self, job: Job) -> bool:
        """Whether the budget allows this job; raises UserError if it does not and nothing is running."""
        if not (budget := self._budget):
            return True
        job.bound = self._bound(job.request, len(job.samples))
        if budget.takes(job.bound):
            return True
        if not self._tasks:
            raise budget.used_up(job.bound)
        return False  # until requests in flight turn out cheaper than their bounds

    def _start(self, job: Job) -> None:
        if self._budget:
            self._budget.reserved += job.bound
        assert self._loop
        task = self._loop.create_task(self._work(job))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task not in self._tasks:
            return  # cancelled: nothing waits for it
        self._tasks.remove(task)
        if not task.cancelled() and task.exception():
            self._stopped = task
        assert self._loop
        self._loop.stop()

    async def _work(self, job: Job) -> None:
        try:
            await self._answer(job)
        finally:
            if self._budget:
                self._budget.reserved -= job.bound

    async def _answer(self, job: Job) -> None:
        """Send requests until the job's samples are answered or given up."""
        while job.samples:
            try:
                await self._ask(job)
            except TryAgain as again:
                job.tries += 1
                if not self._outage.is_over(job, again, self._tries, len(self._tasks)):
                    await self._sleep(backoff(job.tries, again.wait), again.reason)
                    continue
                tries = f" ({job.tries} tries)" if job.tries > 1 else ""
                self._give_up(job, again.reason + tries)
            except Refused as refused:
                if len(job.samples) == 1 or job.alone:
                    self._give_up(job, refused.reason)
                    self._outage.refused(refused.reason)
                job.alone = True

    async def _ask(self, job: Job) -> None:
        """Send the job once and collect its results; raises TryAgain if samples are missing."""
        request, sampling = job.request, job.request.sampling
        samples = job.samples[:1] if job.alone or self._singly else job.samples
        seed = seed_of(request.key, sampling.seed, samples[0])
        structured = structure(sampling, request.response_format)
        head = prefix(self.model, sampling) + structured
        try:
            content = body(head, request.messages, len(samples), seed, self._load_image)
        except (OSError, LookupError, UserError) as error:
            self._give_up(job, f"an image cannot be read: {error}")
            return
        bound = self._bound(request, len(samples))
        self._take(job, samples, await self._send(content, structured, bound))

    def _bound(self, request: Request, samples: int) -> float:
        """The most that this many samples may cost."""
        budget = self._budget
        return budget.bound(request.messages, samples, request.sampling) if budget else 0.0

    def _take(self, job: Job, samples: tuple[int, ...], reply: Reply) -> None:
        """Collect the results of a reply to these samples; raises TryAgain for the missing ones."""
        key, prompts = job.request.key, 1
        again: list[int] = []
        reason, tries = "no choices", None
        for sample, choice in zip(samples, reply.choices, strict=False):
            if isinstance(choice, Choice):
                self._results.append(Completion(key, sample, *choice, prompts))
                prompts = 0
            elif choice.tries and job.tries + 1 >= choice.tries:
                self._results.append(Failure(key, (sample,), choice.reason))
            else:
                again.append(sample)
                reason, tries = choice.reason, choice.tries
        if not reply.choices:
            raise TryAgain("the reply holds no answer: no choices")
        if unasked := job.samples[min(len(samples), len(reply.choices)) :]:
            self._singly = True  # fewer choices than requested, or only one was requested
            self._jobs.extend(jobs_of(job.request, unasked, self._singly))
        job.samples = ()
        if again:
            first, *others = jobs_of(job.request, again, self._singly, job.tries)
            job.samples = first.samples
            self._jobs.extend(others)
            raise TryAgain(reason, tries=tries)

    async def _send(self, content: bytes, structured: bytes, bound: float) -> Reply:
        """Send to the next server with room; `bound` is the most that it may cost."""
        while True:
            counted_at = await limiter.turn() if (limiter := self._rate_limiter) else 0.0
            endpoint = await self._slot()
            endpoint.in_flight += 1
            try:
                reply = await endpoint.ask(content, self.model, structured)
            except NotThere:
                continue
            finally:
                endpoint.in_flight -= 1
            if limiter:
                limiter.replied(reply.prompt_tokens + reply.completion_tokens, counted_at)
            if self._budget:
                self._budget.replied(reply, bound)
            return reply

    async def _slot(self) -> Endpoint:
        """The least busy server with room; raises UserError if all are gone."""
        while True:
            if endpoint := self.servers.least_busy():
                return endpoint
            if self.servers.all_absent:
                await self._sleep(*self._outage.wait(), lambda: not self.servers.all_absent)
            else:  # a limit has fallen below the number in flight
                await asyncio.sleep(SLOT_CHECK_SECONDS)

    async def _sleep(
        self, seconds: float, reason: str, until: Callable[[], bool] = lambda: False
    ) -> None:
        assert self._loop
        self._sleeping += 1
        self._loop.stop()  # there may be room for another request now
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0 and not until():
                if self._sleeping >= len(self._tasks):
                    self._outage.tell(reason, left)
                await asyncio.sleep(min(left, SLEEP_CHECK_SECONDS))
        finally:
            self._sleeping -= 1

    def _give_up(self, job: Job, reason: str) -> None:
        self._results.append(Failure(job.request.key, job.samples, reason))
        job.samples = ()

    def _cancel(self) -> None:
        """Cancel and discard all requests in flight."""
        if not self._loop:
            return
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks))
        for task in tasks:
            if not task.cancelled():
                task.exception()  # retrieve it, or asyncio would print it
        self._jobs.clear()
        self._results.clear()
        self._stopped = None
