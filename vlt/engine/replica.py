"""One replica on its node: the Ray actor that starts `vllm serve` as its child.

It does what the driver asks (vlt.engine.replica_set): start, tell the end, stop. When its worker process is
gone, so is the server, by the server's keeper. Ray starts a lost actor again, on another node where it must;
then it has no server until the driver asks for one.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vlt.engine.vllm_server import LAST_WORDS, Serving, VLLMServer, free_port
from vlt.errors import UserError

OF_RAY = ("RAY_JOB_ID", "RAY_RAYLET_PID", "RAY_CLIENT_MODE", "OMP_NUM_THREADS")
"""Variables that Ray sets for its workers and that would mean something else to a server: with one core
reserved, one thread."""


@dataclass(frozen=True)
class Started:
    """What became of a start."""

    node: str
    """Ray's id of the node."""
    host: str
    """The node's address."""
    url: str = ""
    """Where the server answers; empty where it does not."""
    error: str = ""
    """Why not, in one sentence."""


class Replica:
    """The actor; its methods are called at the same time, by threads of Ray's."""

    def __init__(self, serving: Serving, variables: Mapping[str, str], key: str, is_folder: bool):
        """`serving` names a log that is used where this node sees it; `variables` are the driver's, for
        the server, where the node has none of its own; `key` is what the server is to ask for;
        `is_folder`: the model is a folder at the driver's."""
        self._serving, self._variables, self._is_folder = serving, variables, is_folder
        self._key = key
        self._server: VLLMServer | None = None
        self._starting = threading.Lock()
        self._stopping = threading.Event()

    def start(self) -> Started:
        """Start the server, unless it runs, and wait until it answers or has ended."""
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
        """Wait for the server's end; its last words. None where this actor has not started one."""
        server = self._server
        if server is None:
            return None
        server.wait()
        return server.last_words()

    def stop(self) -> None:
        """End the server, and start none any more."""
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
        if not log.exists():  # the workspace's disk is not this node's
            log = Path(tempfile.gettempdir()) / log.name
        environment = {k: v for k, v in os.environ.items() if k not in OF_RAY}
        if environment.get("CUDA_VISIBLE_DEVICES") == "":  # vLLM's own Ray executor reserves them
            del environment["CUDA_VISIBLE_DEVICES"]
        environment |= {"RAY_ADDRESS": cluster, "VLLM_API_KEY": self._key}
        environment = {**self._variables, **environment}
        self._serving = replace(self._serving, host=host, log=log, environment=environment)
        return VLLMServer(self._serving, free_port(host), detached=True)


def short(words: str) -> str:
    """Somebody else's error as a part of one sentence."""
    return " ".join(words.split())[-LAST_WORDS:]
