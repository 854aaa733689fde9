"""kill -9 of nodes while replicas answer: the run goes on, and ends as an undisturbed one on one machine.

VLT_KILLS=10 is the number of moments over a run; three by default.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli import run_vlt
from tests.on_ray.cluster import Nodes
from tests.on_ray.replicas import (
    CONCURRENCY,
    command,
    ledger,
    left_of,
    make_items,
    start,
    wait_for,
    workers_of,
)
from tests.on_ray.stand_in import asked, starts

KILLS = int(os.environ.get("VLT_KILLS", "3"))
ROWS = 240


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a run with one vLLM on this machine makes."""
    workspace, state = make_items(tmp_path_factory.mktemp("alone"), ROWS)
    done = run_vlt(*command(workspace, state, None, latency_ms=1))
    assert done.returncode == 0, done.stderr
    return ledger(workspace)


def lose(nodes: Nodes, node: Any, *, raylet_alone: bool) -> None:
    """kill -9 of the node; of its raylet alone, its workers must notice it themselves."""
    if raylet_alone:
        workers = workers_of(node)
        raylet = node.all_processes["raylet"][0].process
        raylet.kill()
        raylet.wait()  # as a zombie it would pass for alive
        psutil.wait_procs(workers, timeout=60)
        assert not any(worker.is_running() for worker in workers)
        nodes.forget(node)
    else:
        nodes.kill(node)
    nodes.nodes.append(nodes.add())


def with_replica(nodes: Nodes) -> list[Any]:
    """The nodes that a replica is on."""
    return [node for node in nodes.nodes if workers_of(node)]


@pytest.mark.parametrize("moment", range(KILLS))
def test_a_node_is_lost(
    mortal: Nodes, tmp_path: Path, undisturbed: dict[str, object], moment: int
) -> None:
    workspace, state = make_items(tmp_path, ROWS)
    child = start(command(workspace, state, mortal.address, "--replicas", "2", latency_ms=100))
    if moment == 0:  # while they start
        wait_for(lambda: starts(state), child)
    else:
        wait_for(lambda: len(asked(state)) >= moment * ROWS // KILLS, child)
    lose(mortal, with_replica(mortal)[0], raylet_alone=moment == 1)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    assert "raylet" not in out + err
    assert ledger(workspace) == undisturbed
    assert len(asked(state)) == ROWS
    assert asked(state).total() - ROWS <= CONCURRENCY
    assert not left_of(state, mortal)


def test_the_only_replica_moves(
    mortal: Nodes, tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    workspace, state = make_items(tmp_path, ROWS)
    child = start(command(workspace, state, mortal.address, latency_ms=100))
    wait_for(lambda: len(asked(state)) >= ROWS // 2, child)
    [node] = with_replica(mortal)
    lose(mortal, node, raylet_alone=False)
    seen: dict[str, Any] = {}

    def told() -> bool:
        stages = json.loads(run_vlt("status", "-w", workspace, "--json").stdout)["stages"]
        seen.update(stages[0]["replicas"] or {})
        return bool(seen["ready"] == 0 and seen["lost_nodes"] == 1)

    wait_for(told, child)
    words = run_vlt("status", "-w", workspace).stdout
    assert "0 of 1 replica, 1 node lost (127.0.0.2 " in words or "1 of 1 replica, 1 node" in words
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    assert ledger(workspace) == undisturbed
    assert asked(state).total() - ROWS <= CONCURRENCY
    first, second = (line.split("--port ")[1].split()[0] for line in starts(state))
    assert first != second
    assert not left_of(state, mortal)
