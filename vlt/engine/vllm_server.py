"""One `vllm serve`: its process, port and log, on this machine or on a node of a cluster.

vLLM pins torch and transformers to versions that conflict with TRL's newest, so it runs as a program in its
own environment. `command` is how it is run: `vllm`, `/opt/vllm/bin/vllm`, `docker run ... vllm/vllm-openai`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vlt.errors import UserError
from vlt.worker_process import module_path, pipe_of

COMMAND = "vllm"
START_SECONDS = 1800.0
"""Time for a server to answer /health: downloading and loading a large model takes a while."""
STOP_SECONDS = 30.0
RESTARTS = 3
"""Consecutive deaths, without an answer in between, after which a server is given up."""
LAST_LINE = 300
CHECK_SECONDS = 0.25


@dataclass(frozen=True)
class Serving:
    """What to serve, and how."""

    model: str
    log: Path
    """The server's output."""
    command: str = COMMAND
    arguments: str = ""
    """Arguments for `vllm serve`: --tensor-parallel-size 2 --max-model-len 16384."""
    revision: str | None = None
    host: str = "127.0.0.1"
    environment: Mapping[str, str] | None = None
    """The server's whole environment; None: this process's."""
    start_seconds: float = START_SECONDS

    def line(self, port: int) -> list[str]:
        """The command line."""
        line = [*shlex.split(self.command), "serve", self.model, "--served-model-name", self.model]
        line += ["--host", self.host, "--port", str(port)]
        line += ["--revision", self.revision] if self.revision else []
        return line + shlex.split(self.arguments)


def command_of(given: str | None) -> str:
    """The command that runs vLLM: the one given, else VLT_VLLM_COMMAND's, else `vllm`."""
    return given or os.environ.get("VLT_VLLM_COMMAND") or COMMAND


def program_of(command: str) -> str:
    """The path of the program that this command runs; raises UserError, in a few words, if there is none."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"the command {command!r} cannot be parsed ({error})") from None
    found = shutil.which(words[0]) if words else None
    if found is None:
        raise UserError(f"there is no program {words[0]!r}" if words else "its command is empty")
    return found


class VLLMServer:
    """A running `vllm serve`; it ends with this process, however that ends."""

    def __init__(self, serving: Serving, port: int, *, detached: bool = False):
        """Start it, without waiting until it answers. Raises UserError if the command cannot be started.

        `detached`: see vlt.engine.keeper.
        """
        self.serving, self.port = serving, port
        command = serving.line(port)
        with open(serving.log, "ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            self._keeper = subprocess.Popen(
                [sys.executable, "-P", "-m", "vlt.engine.keeper"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env={**os.environ, "PYTHONPATH": module_path()},
                start_new_session=True,  # ctrl-C must not reach it; vlt stops it
            )
        environment = os.environ if serving.environment is None else serving.environment
        asked = {
            "command": command,
            "environment": dict(environment),
            "stop_seconds": STOP_SECONDS,
            "detached": detached,
        }
        said: dict[str, str | int] = {}
        with contextlib.suppress(OSError, ValueError):  # it was killed
            pipe_of(self._keeper.stdin).write(json.dumps(asked).encode() + b"\n")
            said = json.loads(pipe_of(self._keeper.stdout).readline())
        if detached:
            self._keeper.wait()
        self._keeper_id, self._group = int(said.get("keeper", 0)), int(said.get("server", 0))
        if "error" in said:
            self.stop()
            raise UserError(
                f"{command[0]!r} cannot be started ({said['error']}); install vLLM in an "
                "environment of its own and name its program with VLT_VLLM_COMMAND (or "
                "--vllm-command), or let a small model answer in this process: engine local"
            )

    @property
    def url(self) -> str:
        """As --base-url takes it."""
        return f"{_address(self.serving.host, self.port)}/v1"

    @property
    def is_alive(self) -> bool:
        """Whether the process is running; it may still be loading."""
        return not self._is_over(0)

    def wait_until_it_answers(self, stopping: threading.Event | None = None) -> None:
        """Raises UserError, with the last line of its output, if it ends or takes too long."""
        end = time.monotonic() + self.serving.start_seconds
        while not _healthy(self.serving.host, self.port):
            if not self.is_alive or (stopping and stopping.is_set()):
                raise UserError(
                    f"vllm serve did not start: {self.last_line()}; see {self.serving.log}"
                )
            if time.monotonic() > end:
                raise UserError(
                    f"vllm serve did not answer within {self.serving.start_seconds:g} s; see "
                    f"{self.serving.log}"
                )
            time.sleep(CHECK_SECONDS)
        with contextlib.suppress(OSError):  # it has just ended
            pipe_of(self._keeper.stdin).write(b"\n")

    def wait(self) -> None:
        """Wait until the process has ended."""
        self._is_over(None)

    def stop(self) -> None:
        """End it and all processes that it started, within STOP_SECONDS; harmless if it has ended."""
        with contextlib.suppress(OSError):
            pipe_of(self._keeper.stdin).close()
        if not self._is_over(STOP_SECONDS + 5) and self._keeper_id:  # suspended, or starved of CPU
            os.kill(self._keeper_id, signal.SIGKILL)
        self._keeper.wait()
        if self._group:  # if the keeper was killed, the group may still be there
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._group, signal.SIGKILL)

    def _is_over(self, seconds: float | None) -> bool:
        """Whether the keeper, which lives as long as the server, has ended; waits up to `seconds`."""
        poll = select.poll()  # of its end of the pipe: a detached keeper is not our child
        poll.register(pipe_of(self._keeper.stdout), 0)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def last_line(self) -> str:
        """The last line of its output."""
        lines = self.serving.log.read_text(errors="replace").strip().splitlines()
        return " ".join(lines[-1].split())[:LAST_LINE] if lines else "no output"


def free_port(host: str = "127.0.0.1") -> int:
    """A free port of this machine at one of its addresses; "": at all of them."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as opened:
        opened.bind((host, 0))
        return int(opened.getsockname()[1])


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _healthy(host: str, port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{_address(host, port)}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
