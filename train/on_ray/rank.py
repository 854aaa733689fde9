"""What each placed process does: run the child with its rank, and report how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vlt.cluster.address import VARIABLE
from vlt.engine.vllm_server import free_port
from vlt.errors import UserError
from vlt.train.launch import FAILURE, JOB, RESULT, child_command, environment, reason, tell
from vlt.train.on_ray.lost import RUNNING, Ended
from vlt.train.on_ray.server import LOOK_SECONDS, Server
from vlt.train.place import FIELDS, placed
from vlt.train.resume import NAMED, last_checkpoint
from vlt.train.settings import NOT_SPREAD

SEEN_SECONDS = 15.0
"""Until this node must see what the driver has written: NFS caches for seconds."""
AFTER_OTHERS = 3.0
"""Seconds by which an unexplained failure is reported later: if another process was lost, this one fails
because of it, and the loss should be reported first."""


@dataclass(frozen=True)
class Task:
    """What all processes get from the driver."""

    folder: str
    """The build folder."""
    directory: str
    """The driver's working directory, for relative paths of models and rewards."""
    accelerate: Sequence[str]
    environment: Mapping[str, str]
    """Variables of the driver's environment for the children."""
    server: Server | None = None
    """The vLLM server that generates for the training, if vlt has started one."""


def run(task: Task) -> None:
    """Run this process's child; raises Ended if the child does not finish."""
    from ray import train
    from ray.train.collective import broadcast_from_rank_zero
    from ray.util import get_node_ip_address

    context = train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    folder, address = Path(task.folder), get_node_ip_address()
    if not _is_seen(folder / JOB):
        raise Ended(
            f"node {address} does not see {str(folder)!r}; the workspace must be on a disk that all nodes "
            "share, at the same path (`vlt doctor --ray auto` checks it)",
            final=True,
        )
    meeting = broadcast_from_rank_zero(_arranged(task, world, address) if rank == 0 else None)
    if meeting is None:  # the training had finished when a process was lost
        return
    own = placed(
        {
            "RANK": rank,
            "WORLD_SIZE": world,
            "LOCAL_RANK": context.get_local_rank(),
            "LOCAL_WORLD_SIZE": context.get_local_world_size(),
            "GROUP_RANK": context.get_node_rank(),
            **meeting,
        }
    )
    log = folder / f"log-{rank}.txt"
    variables = {**_variables(task, context.get_local_world_size(), address), **own}
    code = _child(task, variables, log, task.server if rank == 0 else None)
    if code:
        explained = code < 0 or (folder / FAILURE).exists()
        if not explained:
            time.sleep(AFTER_OTHERS)
        raise Ended(
            reason(folder, code, log), final=(folder / FAILURE).exists(), from_outside=code < 0
        )


def _arranged(task: Task, world: int, address: str) -> dict[str, Any] | None:
    """The rendezvous, the checkpoint to resume from and the server's address; None if nothing is left to do.

    One process decides for all: the others may not see the newest files yet.
    """
    folder = Path(task.folder)
    if (folder / RESULT).exists():
        return None
    (folder / FAILURE).unlink(missing_ok=True)
    last = last_checkpoint(folder / "run", world)
    (folder / RUNNING).touch()
    found = {"MASTER_ADDR": address, "MASTER_PORT": free_port(""), NAMED: last.name if last else ""}
    if task.server:
        try:
            url = task.server.take()
        except UserError as error:
            raise Ended(str(error)) from None
        given = json.loads((folder / JOB).read_text())["settings"]
        group = given.get("vllm_group_port") or free_port("")
        fields = {"vllm_server_base_url": url, "vllm_group_port": group}
        # At this address the server meets the process that sends it the weights, without any proxy.
        host = urlsplit(url).hostname
        variables = {**os.environ, **task.environment}
        past = [variables.get(name) for name in ("no_proxy", "NO_PROXY")]
        no_proxy = ",".join(filter(None, [*past, host]))
        found |= {FIELDS: json.dumps(fields), "VLLM_HOST_IP": address, "no_proxy": no_proxy}
    tell(folder, says=f"starting {world} processes" if world > 1 else "starting")
    return found


def _is_seen(file: Path) -> bool:
    end = time.monotonic() + SEEN_SECONDS
    while not file.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def _variables(task: Task, beside: int, address: str) -> dict[str, str]:
    """A child's environment: the node's, plus the driver's variables; `beside` processes share the node."""
    # Ray sets it to the cores that it has reserved for this process; the node's others would be idle.
    os.environ.pop("OMP_NUM_THREADS", None)
    found = {**environment(beside), **task.environment}
    found.pop(VARIABLE, None)  # the child itself uses no cluster
    name = interface(address)
    if name:  # gloo would resolve the host name, which may be a loopback address
        found.setdefault("GLOO_SOCKET_IFNAME", name)
    return found


def interface(address: str) -> str | None:
    """The network interface with this address, or None."""
    import psutil  # type: ignore[import-untyped]  # accelerate brings it

    if address.startswith("127."):
        return "lo" if "lo" in psutil.net_if_addrs() else None
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == address for each in addresses):
            return name
    return None


def _child(task: Task, variables: Mapping[str, str], log: Path, server: Server | None) -> int:
    """Run the child; returns its exit status. Raises Ended if the server ended before it."""
    directory = task.directory if Path(task.directory).is_dir() else task.folder
    with open(log, "ab") as words:
        child = subprocess.Popen(
            child_command(log.parent, 1, one_process(task.accelerate)),
            stdin=subprocess.PIPE,  # the child exits when this process does
            stdout=words,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=directory,
        )
        if server is None:
            return child.wait()
        ended = server.ended()
        while (code := _status(child)) is None:
            if why := server.why_ended(ended):
                child.kill()  # sending weights to the server, it would wait forever
                child.wait()
                raise why
        if code and (why := server.why_ended(ended, LOOK_SECONDS)):
            raise why
        return code


def _status(child: subprocess.Popen[bytes]) -> int | None:
    """Its exit status, waited for so long; None if it runs."""
    try:
        return child.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def one_process(accelerate: Sequence[str]) -> list[str]:
    """accelerate's arguments for a launcher with one process: it only sets up the environment (FSDP,
    DeepSpeed, precision), since Ray places the processes."""
    if not accelerate or list(accelerate) == [NOT_SPREAD]:
        return []
    kept = [word for word in accelerate if word != "--multi_gpu"]
    return [
        *kept,
        *("--num_processes", "1", "--num_machines", "1"),
        *("--machine_rank", "0", "--main_process_port", "0"),
    ]
