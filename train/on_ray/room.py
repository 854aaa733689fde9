"""Room on the cluster for a training's processes, and for its vLLM server beside them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlt.train.launch import FAILURE, tell
from vlt.train.on_ray.lost import RUNNING
from vlt.workspace.files import write_json

ROOM_SECONDS = 1800.0
"""How long to wait for room: nodes may have to be started, or a lost one replaced."""
QUIET = 10.0
"""Seconds without an attempt until the progress line says so."""


def room(nodes: Sequence[Mapping[str, Any]], *, gpu: bool, server: int = 0) -> int:
    """How many processes fit on the nodes that are alive, including room that is in use now.

    `server`: the GPUs of a vLLM server, which takes them and a core of one node.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    each = [(int(has.get("CPU", 0)), int(has.get("GPU", 0))) for has in alive]

    def fit(cores: int, gpus: int) -> int:
        return min(cores, gpus) if gpu else cores

    whole = sum(fit(*has) for has in each)
    if not server:
        return whole
    left = [
        whole - fit(cores, gpus) + fit(cores - 1, gpus - server)
        for cores, gpus in each
        if cores and gpus >= server
    ]
    return max(left, default=0)


def room_for(
    nodes: Sequence[Mapping[str, Any]], processes: int, *, gpu: bool, server: int = 0
) -> str:
    """What the cluster has and what is needed, in words."""
    there, each = room(nodes, gpu=gpu, server=server), "a GPU and a core" if gpu else "a core"
    beside = " beside its vLLM server" if server else ""
    if there >= processes:
        need = (
            f"1 process needs {each}"
            if processes == 1
            else f"{processes} processes need {each} each"
        )
        return f"{need}{beside}; the cluster has it, but it is in use or not ready"
    return f"the cluster has room for {there} of {processes} processes ({each} each){beside}"


def watch_room(ray: Any, folder: Path, processes: int, *, gpu: bool, server: int = 0) -> None:
    """Report that there is no room for an attempt, and exit if there is none for too long."""
    began, told = time.monotonic(), ""
    while True:
        time.sleep(1)
        if (folder / RUNNING).exists():
            began, told = time.monotonic(), ""
            continue
        waited = time.monotonic() - began
        what = room_for(ray.nodes(), processes, gpu=gpu, server=server)
        says = f"waiting for room: {what}"
        if waited > QUIET and says != told:
            told = says
            tell(folder, says=says)
        if waited > ROOM_SECONDS:
            sentence = (
                f"no attempt could start for {ROOM_SECONDS / 60:.0f} minutes: {what}; add nodes, or wait "
                "until they are free, and run the same command again to resume from the last checkpoint"
            )
            write_json({"sentence": sentence}, folder / FAILURE)
            os._exit(1)
