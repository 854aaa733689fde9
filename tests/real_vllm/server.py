"""A real `vllm serve` of the miniature's models, on a port of loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.real_vllm.environment import command, python

MINIATURE = Path(__file__).parents[2] / "recipes" / "miniature"
ARGUMENTS = (
    "--dtype float32 --enforce-eager --max-model-len 512 --max-num-seqs 16 "
    "--max-num-batched-tokens 4096 --no-enable-chunked-prefill "
    """--limit-mm-per-prompt '{"image":2,"video":0}'"""
)
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}
START_SECONDS = 300
STOP_SECONDS = 30
_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def forked() -> str:
    """`command`, with a start of 13 s instead of 30: see forked.py."""
    return f"{python()} {Path(__file__).with_name('forked.py')}"


class Server:
    """A server started by hand, as for --base-url; `log` continues across restarts."""

    def __init__(self, model: Path, log: Path):
        self.model, self.log = model, log
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
            self.port = opened.getsockname()[1]

    @property
    def url(self) -> str:
        """As --base-url takes it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start it and wait until it is healthy."""
        place = f"--host 127.0.0.1 --port {self.port} --served-model-name {self.model}"
        line = f"exec {command()} serve {self.model} {place} {ARGUMENTS}"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", line],
                stdout=log,
                stderr=log,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not self._healthy():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.5)

    def terminate(self) -> None:
        """As a scheduler ends it: SIGTERM, and after a while SIGKILL for what is still there.

        With requests in flight, vLLM does not always come to its end by SIGTERM alone.
        """
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self.stop()

    def stop(self) -> None:
        """End everything that is left of it, its engine's processes included."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def answered(self) -> int:
        """Chat completions that it has answered so far."""
        return self.log.read_text().count('"POST /v1/chat/completions HTTP/1.1" 200')

    def _healthy(self) -> bool:
        try:
            with _OPEN(f"http://127.0.0.1:{self.port}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False
