"""The vLLM server of a GRPO training, placed on the cluster beside it: `vllm: server` without an address.

It is started before the training, with the model that is trained and what TRL needs of such a server
(vlt.train.vllm). It runs in the training's own environment on its node: TRL's client imports vLLM, and both
ends of the transfer of weights must be of one version. It ends with the process that started it
(vlt.train.on_ray.driver).

Each attempt of the training gets a server that no other has used: one that has lost its trainer may wait for
weights forever, and vLLM cannot form a second group for the transfer (its pull request 40646).
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlt.engine import replica_place
from vlt.engine.replica import Replica, Started, forwarded, short
from vlt.engine.vllm_server import Serving, VLLMServer
from vlt.errors import UserError
from vlt.plural import plural
from vlt.train.launch import tell
from vlt.train.on_ray.lost import Ended
from vlt.train.on_ray.room import QUIET, ROOM_SECONDS, room
from vlt.train.vllm import VARIABLES, gpus, is_served, serve_arguments

LOG = "log-vllm.txt"
"""In the build folder."""
PROGRAM = "vllm.entrypoints.cli.main"
"""The module behind the command `vllm`."""
LOOK_SECONDS = 1.0
NO_KEY = {"VLLM_API_KEY": ""}
"""TRL's client sends none."""


class TrainingReplica(Replica):
    """The actor; see vlt.engine.replica."""

    _taken = False

    def take(self) -> Started:
        """Like `start`, with a server that nobody has taken before."""
        with self._starting:
            if self._taken and self._server:
                self._server.stop()
            self._taken = True
        return self.start()

    def _started(self, host: str, cluster: str) -> VLLMServer:
        if importlib.util.find_spec("vllm") is None:
            raise UserError(
                f"vLLM is not installed in {sys.prefix}; install the same packages on every node "
                "(`vlt doctor --ray auto` compares them)"
            )
        command = shlex.join([sys.executable, "-m", PROGRAM])
        self._serving = replace(self._serving, command=command)
        return super()._started(host, cluster)


@dataclass(frozen=True)
class Server:
    """A training's server, as its driver and its processes know it."""

    actor: Any
    group: Any
    gpus: int
    folder: str
    """The build folder."""

    def start(self) -> str:
        """Start it; returns its URL. Raises UserError if it does not start, or finds no room."""
        return self._url("start")

    def take(self) -> str:
        """The URL of a server for one attempt. Raises UserError as `start` does."""
        return self._url("take")

    def ended(self) -> Any:
        """A reference that is ready when the server has ended: see `why_ended`."""
        return self.actor.ended.remote()

    def why_ended(self, ended: Any, seconds: float = 0.0) -> Ended | None:
        """What to raise if the server has ended; None if it has not, within so many seconds."""
        import ray

        if not ray.wait([ended], timeout=seconds)[0]:
            return None
        try:
            words = ray.get(ended)
        except ray.exceptions.RayError as error:
            words, lost = f"its node or process was lost ({short(str(error))})", True
        else:  # a restarted actor has no server and no words
            words, lost = words or "its node was lost", not words
        return Ended(f"the training's vLLM server ended: {words}", from_outside=lost)

    def _url(self, call: str) -> str:
        import ray

        began, told = time.monotonic(), ""
        asked = getattr(self.actor, call).remote()
        while True:
            if ray.wait([asked], timeout=LOOK_SECONDS)[0]:
                try:
                    started: Started = ray.get(asked)
                    break
                except ray.exceptions.ActorUnavailableError:  # lost with its node; Ray restarts it
                    time.sleep(LOOK_SECONDS)
                    asked = getattr(self.actor, call).remote()
                except ray.exceptions.RayError as error:
                    raise UserError(
                        "the training's vLLM server cannot be started on the cluster "
                        f"({short(str(error))})"
                    ) from error
            waited = time.monotonic() - began
            host = replica_place.host(self.group, replica_place.alive(ray))
            if not host and waited > ROOM_SECONDS:
                raise UserError(
                    f"the training's vLLM server found no room within {ROOM_SECONDS / 60:.0f} minutes "
                    f"({replica_place.needs(self.gpus)} of one node); `ray status` says who holds it"
                )
            waits = f"waiting for room: the vLLM server needs {replica_place.needs(self.gpus)}"
            says = f"vLLM starting on {host}" if host else waits if waited > QUIET else ""
            if says not in ("", told):
                told = says
                tell(Path(self.folder), says=says)
        if started.error:
            raise UserError(f"the training's vLLM server, on {started.host}: {started.error}")
        return started.url.removesuffix("/v1")  # TRL uses vLLM's other endpoints as well


@contextmanager
def served(
    ray: Any, folder: Path, job: Mapping[str, Any], processes: int
) -> Iterator[Server | None]:
    """A ready server for the training inside the `with` block, where it needs one that vlt starts.

    Raises UserError if there is no room for it, or it does not start.
    """
    settings = job["settings"]
    if settings.get("vllm_mode") != "server" or not settings.get("use_vllm") or is_served(settings):
        yield None
        return
    check_room(ray.nodes(), processes, gpus(settings))
    log, is_folder = folder / LOG, os.path.isdir(job["model"])
    log.touch()  # a node that does not see it does not share the disk
    serving = Serving(
        os.path.abspath(job["model"]) if is_folder else job["model"],
        log,
        arguments=shlex.join(serve_arguments(settings)),
        revision=job["revision"],
    )
    told = (serving, forwarded(), {**VARIABLES, **NO_KEY}, is_folder)
    group, actor = replica_place.place(ray, TrainingReplica, gpus(settings), *told)
    server = Server(actor, group, gpus(settings), str(folder))
    try:
        server.start()
        yield server
    finally:
        if replica_place.host(group, replica_place.alive(ray)):
            replica_place.stop(ray, [actor])
        replica_place.remove(ray, group, actor)


def check_room(nodes: Sequence[Mapping[str, Any]], processes: int, server: int) -> None:
    """Raises UserError if a server with so many GPUs does not fit beside a training's processes."""
    most = max((int(n["Resources"].get("GPU", 0)) for n in nodes if n["Alive"]), default=0)
    if not most:
        raise UserError(
            f"vllm server: the Ray cluster ({plural(len(nodes), 'node')}) has no GPUs, and the weights are "
            "sent to the server from GPU to GPU; add nodes with GPUs, or leave it out to generate with "
            "transformers"
        )
    if server > most:
        raise UserError(
            f"vllm server: it needs {server} GPUs of one node (vllm_tensor_parallel_size), and no node of "
            f"the Ray cluster has more than {most}; lower it"
        )
    there = room(nodes, gpu=True, server=server)
    if there < processes:
        raise UserError(
            f"vllm server: beside the server ({replica_place.needs(server)}) the Ray cluster has room for "
            f"{there} of {plural(processes, 'process', 'processes')} (a GPU and a core each); give "
            f"--processes {there}, add a node, or use --vllm colocate"
            if there
            else f"vllm server: the server takes {replica_place.needs(server)}, which leaves no GPU of the "
            "Ray cluster to train on; add a node, or use --vllm colocate"
        )
