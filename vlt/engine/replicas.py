"""Several `vllm serve` on a Ray cluster as one engine, with one client, journal and rate limit."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from vlt.engine import LoadImage
from vlt.engine.openai import TIMEOUT_SECONDS, OpenAIEngine
from vlt.engine.rate_limiter import RateLimiter
from vlt.engine.replica import forwarded
from vlt.engine.replica_count import Wanted
from vlt.engine.replica_member import STARTING
from vlt.engine.replica_set import ReplicaSet
from vlt.engine.vllm_server import Serving
from vlt.request import Completion, Failure, Request
from vlt.workspace.progress import replicas_words, report_replicas

WAIT_SECONDS, REPORT_SECONDS = 0.1, 1.0


class ReplicasEngine:
    """Implements vlt.engine.Engine with servers on a cluster that it starts and watches."""

    def __init__(
        self,
        ray: Any,
        serving: Serving,
        wanted: Wanted,
        *,
        load_image: LoadImage,
        concurrency: int = 64,
        timeout: float = TIMEOUT_SECONDS,
        rate_limiter: RateLimiter | None = None,
        tell: Callable[[str], None] | None = None,
        notice: Callable[[str], None] | None = None,
    ):
        """Start the servers, and wait until the first one is ready.

        The others join when they are ready. Raises UserError if none starts.
        """
        key = secrets.token_urlsafe()  # so that nobody else can use the servers
        is_folder = os.path.isdir(serving.model)
        if is_folder:  # relative to this process
            serving = replace(serving, model=os.path.abspath(serving.model))
        self._tell = tell
        self._reported = 0.0
        self._engine = OpenAIEngine(
            serving.model,
            (),
            load_image=load_image,
            api_key=key,
            concurrency=concurrency,
            timeout=timeout,
            patience=serving.start_seconds,
            rate_limiter=rate_limiter,
            tell=tell,
            check=self._check,
            notice=notice,
        )
        self._set = ReplicaSet(
            ray,
            serving,
            self._engine.servers,
            wanted,
            variables=forwarded(),
            required={"VLLM_API_KEY": key},
            is_folder=is_folder,
            notice=notice,
        )
        try:
            self._wait_for_the_first()
        except BaseException:
            self.close()
            raise

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion | Failure]:
        """See vlt.engine.Engine."""
        for result in self._engine.complete(requests):
            if time.monotonic() - self._reported >= REPORT_SECONDS:
                self._check()
            yield result

    def close(self) -> None:
        """Stop the servers and free their resources on the cluster."""
        self._set.stop_watching()
        self._engine.close()
        self._set.close()
        report_replicas(None)

    def _wait_for_the_first(self) -> None:
        while not len(self._engine.servers):
            self._check()
            time.sleep(WAIT_SECONDS)

    def _check(self) -> None:
        """Raises UserError if no server is left; reports their states."""
        self._set.check()
        if time.monotonic() - self._reported < REPORT_SECONDS:
            return
        self._reported = time.monotonic()
        now = self._set.progress()
        report_replicas(now)
        if self._tell and not now["ready"]:
            hosts = ", ".join(sorted({m["host"] for m in now["each"] if m["state"] == STARTING}))
            starting = (
                f", starting on {hosts}" if hosts else ", waiting to be placed on the cluster"
            )
            self._tell(f"{replicas_words(now)} ready{starting}")
