"""One replica on its node: the Ray actor that starts `vllm serve` as its child.

The driver (vlt.engine.replica_set) calls it to start the server, to wait for its end, and to stop it. The
server's keeper ends it when the actor's worker process is gone. Ray restarts a lost actor, on another node if
necessary; it then has no server until the driver calls `start`.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vlt.engine.vllm_server import LAST_LINE, Serving, VLLMServer, free_port
from vlt.errors import UserError

OF_RAY = ("RAY_JOB_ID", "RAY_RAYLET_PID", "RAY_CLIENT_MODE", "OMP_NUM_THREADS")
"""Variables that Ray sets for its workers and that a server must not inherit (one reserved core would mean
one thread)."""
FORWARDED = ("VLLM_", "HF_", "OMP_NUM_THREADS")
"""Prefixes of the environment variables that are passed on to servers on other machines."""


@dataclass(frozen=True)
class Started:
    """The result of a start."""

    node: str
    """Ray's id of the node."""
    host: str
    """The node's address."""
    url: str = ""
    """Of the server; empty if it did not start."""
    error: str = ""
    """Why it did not start, in one sentence."""


class Replica:
    """The actor; Ray calls its methods concurrently, in threads."""

    def __init__(
        self,
        serving: Serving,
        variables: Mapping[str, str],
        required: Mapping[str, str],
        is_folder: bool,
    ):
        """`serving.log` is used if this node sees that file. `variables` are the driver's environment
        variables for the server, unless the node sets them itself; `required` are those that it gets
        whatever the node sets; `is_folder`: the model is a folder on the driver's machine.
        """
        self._serving, self._variables, self._is_folder = serving, variables, is_folder
        self._required = required
        self._server: VLLMServer | None = None
        self._starting = threading.Lock()
        self._stopping = threading.Event()

    def start(self) -> Started:
        """Start the server, unless it is running, and wait until it answers or has ended."""
        import ray

        node, host = ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()
        with self._starting:
            if self._stopping.is_set():
                return Started(node, host, error="the run has ended")
            try:
                if not (self._server and self._server.is_alive):
                    self._server = self._started(host, ray.get_runtime_context().gcs_address)
                self._server.wait_until_it_answers(self._stopping)
            except UserError as error:
                if self._server:
                    self._server.stop()
                return Started(node, host, error=str(error))
        return Started(node, host, url=self._server.url)

    def ended(self) -> str | None:
        """Wait for the server's end, and return its last line and log; None if there is no server yet."""
        server = self._server
        if server is None:
            return None
        server.wait()
        return f"{server.last_line()}; see {server.serving.log}"

    def stop(self) -> None:
        """Stop the server for good."""
        self._stopping.set()
        with self._starting:
            if self._server:
                self._server.stop()

    def _started(self, host: str, cluster: str) -> VLLMServer:
        if self._is_folder and not os.path.isdir(self._serving.model):
            raise UserError(
                f"there is no folder {self._serving.model}; put the model on a disk that all nodes share"
            )
        log = self._serving.log
        if not log.exists():  # the workspace's disk is not shared with this node
            log = Path(tempfile.gettempdir()) / log.name
        environment = {k: v for k, v in os.environ.items() if k not in OF_RAY}
        if (
            environment.get("CUDA_VISIBLE_DEVICES") == ""
        ):  # vLLM's own Ray executor reserves GPUs itself
            del environment["CUDA_VISIBLE_DEVICES"]
        environment |= {"RAY_ADDRESS": cluster, **self._required}
        environment = {**self._variables, **environment}
        self._serving = replace(self._serving, host=host, log=log, environment=environment)
        return VLLMServer(self._serving, free_port(host), detached=True)


def forwarded() -> dict[str, str]:
    """The environment variables of this process for a server on another machine."""
    return {name: v for name, v in os.environ.items() if name.startswith(FORWARDED)}


def short(words: str) -> str:
    """An error message of Ray's, shortened to a part of one sentence."""
    return " ".join(words.split())[-LAST_LINE:]
