"""A `vllm serve` started by vlt on this machine: watched, restarted if it dies, stopped at the end.

vlt talks to it as to any OpenAI-compatible server. On a cluster there are several: vlt.engine.replicas.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from vlt.engine import LoadImage
from vlt.engine.openai import TIMEOUT_SECONDS, OpenAIEngine
from vlt.engine.rate_limiter import RateLimiter
from vlt.engine.vllm_server import (
    CHECK_SECONDS,
    RESTARTS,
    Serving,
    VLLMServer,
    free_port,
)
from vlt.errors import UserError
from vlt.request import Completion, Failure, Request


class VLLMEngine:
    """Implements vlt.engine.Engine with a server that it starts and watches."""

    def __init__(
        self,
        serving: Serving,
        *,
        load_image: LoadImage,
        concurrency: int = 64,
        timeout: float = TIMEOUT_SECONDS,
        rate_limiter: RateLimiter | None = None,
        tell: Callable[[str], None] | None = None,
    ):
        """Start the server and wait until it answers.

        Raises UserError with the last line of its output if it does not start.
        """
        self._serving = serving
        self._stopping = threading.Event()
        self._deaths = 0
        self._server = VLLMServer(self._serving, free_port())
        try:
            self._server.wait_until_it_answers()
        except BaseException:
            self._server.stop()
            raise
        self._engine = OpenAIEngine(
            serving.model,
            [self._server.url],
            load_image=load_image,
            api_key="none",
            concurrency=concurrency,
            timeout=timeout,
            patience=serving.start_seconds,
            rate_limiter=rate_limiter,
            tell=tell,
            check=self._check,
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion | Failure]:
        """See vlt.engine.Engine."""
        for result in self._engine.complete(requests):
            if isinstance(result, Completion):
                self._deaths = 0
            yield result

    def close(self) -> None:
        """Stop the server."""
        self._stopping.set()
        self._engine.close()
        self._watcher.join()
        self._server.stop()

    def _watch(self) -> None:
        """In a thread: restart the server, on the same port, up to RESTARTS times."""
        while not self._stopping.wait(CHECK_SECONDS):
            if self._server.is_alive:
                continue
            self._deaths += 1
            if self._deaths > RESTARTS:
                return
            self._server.stop()  # end the processes that the dead one left behind
            self._server = VLLMServer(self._serving, self._server.port)

    def _check(self) -> None:
        """Raises UserError if the server is dead for good."""
        if self._deaths > RESTARTS:
            raise UserError(
                f"vllm serve died {self._deaths} times in a row: {self._server.last_line()}; see "
                f"{self._serving.log}, then run the same command to continue"
            )
