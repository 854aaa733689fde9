"""How many replicas of a model fit on a cluster: checked before any is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vlt.engine.model import Model
from vlt.errors import UserError
from vlt.plural import plural


@dataclass(frozen=True)
class Wanted:
    """What a model needs of a cluster."""

    replicas: int
    gpus: int
    """Per replica."""


def wanted(model: Model, ray: Any) -> Wanted:
    """The replicas of a model on the cluster that `ray` is connected to.

    Raises UserError, in one sentence, if they would not fit even on the idle cluster.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    each_gpus = [int(node.get("GPU", 0)) for node in nodes]
    each_cpus = [int(node.get("CPU", 0)) for node in nodes]
    gpus = model.gpus_per_replica
    if gpus is None:
        gpus = 1 if any(each_gpus) or model.replicas == "auto" else 0
    if gpus and not any(each_gpus):
        raise UserError(
            f"the Ray cluster ({plural(len(nodes), 'node')}) has no GPUs, and a replica of {model.model!r} "
            f"needs {gpus}; add a node with GPUs, or give --gpus-per-replica 0 to serve on CPUs"
        )
    if gpus > max(each_gpus):
        raise UserError(
            f"a replica needs {gpus} GPUs, and no node of the Ray cluster has more than "
            f"{max(each_gpus)}; lower --gpus-per-replica, or let vLLM spread one model over nodes: "
            "--gpus-per-replica 0 --vllm-args '--distributed-executor-backend ray ...'"
        )
    # A replica reserves one core, too; on CPUs it uses all of its node, so `auto` means one per node.
    takes = [min(g // gpus, c) if gpus else c for g, c in zip(each_gpus, each_cpus, strict=True)]
    room = sum(takes)
    if room == 0:
        raise UserError(
            f"no node of the Ray cluster has a core for a replica of {model.model!r}; add a node, or "
            "start its nodes with --num-cpus 1 or more"
        )
    if model.replicas == "auto":
        return Wanted(room if gpus else sum(t > 0 for t in takes), gpus)
    replicas = model.replicas or 1
    if replicas > room:
        of = f" of {plural(gpus, 'GPU')}" if gpus else " (a core each)"
        raise UserError(
            f"{plural(replicas, 'replica')}{of} were requested, and the Ray cluster has room for {room}; "
            f"give --replicas {room}, or auto for as many as fit"
        )
    return Wanted(replicas, gpus)
