"""A `vllm serve` started by vlt: watched, restarted if it dies, stopped at the end.

vLLM pins torch and transformers to versions that conflict with TRL's newest, so it runs as a program in its
own environment, and vlt talks to it as to any OpenAI-compatible server. `command` is how it is run:
`vllm`, `/opt/vllm/bin/vllm`, `docker run ... vllm/vllm-openai`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vlt.engine import LoadImage
from vlt.engine.openai import TIMEOUT_SECONDS, OpenAIEngine
from vlt.engine.rate_limiter import RateLimiter
from vlt.engine.shared_memory import remove, segments
from vlt.errors import UserError
from vlt.request import Completion, Failure, Request

COMMAND = "vllm"
START_SECONDS = 1800.0
"""Time for a server to answer /health: downloading and loading a large model takes a while."""
STOP_SECONDS = 30.0
RESTARTS = 3
"""Consecutive deaths, without an answer in between, after which the run is given up."""
_CHECK_SECONDS = 0.25
_PR_SET_PDEATHSIG = 1


class VLLMEngine:
    """Implements vlt.engine.Engine with a server that it starts and watches."""

    def __init__(
        self,
        model: str,
        *,
        load_image: LoadImage,
        log: Path,
        command: str = COMMAND,
        arguments: str = "",
        revision: str | None = None,
        concurrency: int = 64,
        timeout: float = TIMEOUT_SECONDS,
        start_seconds: float = START_SECONDS,
        rate_limiter: RateLimiter | None = None,
        tell: Callable[[str], None] | None = None,
    ):
        """Start the server and wait until it answers; its output goes to the file `log`.

        `arguments` are passed to `vllm serve` (--tensor-parallel-size 2 --max-model-len 16384).
        Raises UserError with the last line of its output if it does not start.
        """
        self.log, self._start_seconds = log, start_seconds
        self._port = _free_port()
        self._command = [*shlex.split(command), "serve", model, "--served-model-name", model]
        self._command += ["--host", "127.0.0.1", "--port", str(self._port)]
        self._command += ["--revision", revision] if revision else []
        self._command += shlex.split(arguments)
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._deaths = 0
        self._shared: set[Path] = set()
        self._child = self._start()
        try:
            self._wait_until_it_answers()
        except BaseException:
            self._stop()
            raise
        self._engine = OpenAIEngine(
            model,
            [f"http://127.0.0.1:{self._port}/v1"],
            load_image=load_image,
            api_key="none",
            concurrency=concurrency,
            timeout=timeout,
            patience=start_seconds,
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
        self._stop()
        self._stopped.set()
        self._watcher.join()

    def _start(self) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            log.write(f"$ {shlex.join(self._command)}\n".encode())
            log.flush()
            try:
                return subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # ctrl-C must not reach it; vlt stops it
                    preexec_fn=_die_with_parent,
                )
            except OSError as error:
                raise UserError(
                    f"{self._command[0]!r} cannot be started ({error.strerror}); install vLLM in an "
                    "environment of its own and name its program with --vllm-command"
                ) from error

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + self._start_seconds
        while not _healthy(self._port):
            if self._child.poll() is not None:
                raise UserError(f"vllm serve did not start: {self._last_line()}; see {self.log}")
            if time.monotonic() > end:
                raise UserError(
                    f"vllm serve did not answer within {self._start_seconds:g} s; see {self.log}"
                )
            time.sleep(_CHECK_SECONDS)
        self._shared |= segments(self._child.pid)

    def _watch(self) -> None:
        """In a thread: restart the server, on the same port, up to RESTARTS times."""
        while not self._stopping.is_set():
            if self._child.poll() is None:
                self._stopping.wait(_CHECK_SECONDS)
                continue
            self._deaths += 1
            if self._deaths > RESTARTS:
                return
            self._stop()  # end the processes that the dead one left behind
            self._child = self._start()
            if self._stopping.is_set():
                self._stop()
        # A server started by this thread would be killed when it ends (see _die_with_parent).
        self._stopped.wait()

    def _check(self) -> None:
        """Raises UserError if the server is dead for good."""
        if self._deaths > RESTARTS:
            raise UserError(
                f"vllm serve died {self._deaths} times in a row: {self._last_line()}; see {self.log}, "
                "then run the same command to continue"
            )

    def _stop(self) -> None:
        """End the whole process group (SIGTERM, then after a while SIGKILL) and free its shared memory."""
        group = self._child.pid
        self._shared |= segments(group)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._child.wait()
        remove(self._shared)
        self._shared.clear()

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " ".join(lines[-1].split())[:300] if lines else "no output"


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _healthy(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _die_with_parent() -> None:
    """In the child: the kernel ends it when the parent dies, even by kill -9 (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
