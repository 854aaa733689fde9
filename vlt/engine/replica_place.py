"""Where a replica runs: an actor in a placement group of one bundle, on whatever node has room.

Ray restarts the actor elsewhere when its node is lost; calls to a lost actor are repeated by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vlt.engine.vllm_server import STOP_SECONDS
from vlt.plural import plural

CPUS = 1
"""Reserved per replica."""


def place(ray: Any, made: type, gpus: int, *told: object) -> tuple[Any, Any]:
    """(placement group, actor): `made(*told)`, with so many GPUs; returns at once."""
    from ray.util.placement_group import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    bundle = {"CPU": CPUS, **({"GPU": gpus} if gpus else {})}
    group = placement_group([bundle], strategy="SPREAD")
    options = {
        "num_cpus": CPUS,
        "num_gpus": gpus,
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": 4,
        "scheduling_strategy": PlacementGroupSchedulingStrategy(group),
    }
    return group, ray.remote(made).options(**options).remote(*told)


def alive(ray: Any) -> dict[str, str]:
    """The nodes that are alive, with their addresses."""
    return {n["NodeID"]: n["NodeManagerAddress"] for n in ray.nodes() if n["Alive"]}


def host(group: Any, nodes: Mapping[str, str]) -> str:
    """The address of the place's node, one of these; "" while it is on none."""
    from ray.util.placement_group import placement_group_table

    of = placement_group_table(group)
    node = of["bundles_to_node_id"].get(0, "") if of["state"] == "CREATED" else ""
    return nodes.get(node, "")


def remove(ray: Any, group: Any, actor: Any) -> None:
    """End the actor and free its place."""
    from ray.util.placement_group import remove_placement_group

    ray.kill(actor, no_restart=True)
    remove_placement_group(group)


def stop(ray: Any, actors: list[Any]) -> None:
    """Stop the servers of replicas, and wait until they have ended."""
    asked = [actor.stop.remote() for actor in actors]
    if asked:
        ray.wait(asked, num_returns=len(asked), timeout=STOP_SECONDS + 10)


def needs(gpus: int) -> str:
    """What one replica takes, in words."""
    return f"{plural(gpus, 'GPU')} and {plural(CPUS, 'core')}" if gpus else plural(CPUS, "core")
