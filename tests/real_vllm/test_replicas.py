"""Two replicas of a real vLLM on a Ray cluster on this machine, of which one is killed. `make test-vllm`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.on_ray.cluster import LOOPBACK, Nodes
from tests.on_ray.replicas import places, start, wait_for
from tests.real_vllm.server import ARGUMENTS, ENVIRONMENT, MINIATURE, forked
from tests.rows import dataset, item
from tests.test_gen_crash import check_whole
from vlt.workspace.store import Store

ANSWERED = '"POST /v1/chat/completions HTTP/1.1" 200'
ROWS = 100


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    for name, value in {**ENVIRONMENT, "PYTHONPATH": os.getcwd()}.items():
        monkeypatch.setenv(name, value)
    with Nodes(nodes=2) as running:
        yield running


@pytest.mark.timeout(1200)
def test_one_of_two_is_killed(workspace: Path, nodes: Nodes) -> None:
    store = Store(workspace)
    dataset(store, "items", "item", [item(f"[[{i}]]") for i in range(ROWS)])
    asks = ["gen", "rollouts", "-w", workspace, "-k", 1, "--max-tokens", 64, "--concurrency", 2]
    asks += ["--model", MINIATURE / "reasoner", "--engine", "vllm", "--vllm-command", forked()]
    asks += ["--vllm-args", ARGUMENTS, "--ray", nodes.address, "--replicas", 2]
    child = start([*map(str, asks)])

    def answered() -> list[int]:
        logs = sorted((workspace / "logs").glob("vllm-*-replica-*.log"))
        return [log.read_text(errors="replace").count(ANSWERED) for log in logs]

    wait_for(lambda: len(answered()) == 2 and min(answered()) > 2, child, 600)
    servers = [
        p for p in psutil.process_iter(["cmdline"]) if is_server(p.info["cmdline"], LOOPBACK)
    ]
    assert len(servers) == 2, servers
    family = [servers[0], *servers[0].children(recursive=True)]
    servers[0].kill()
    _, words = child.communicate(timeout=600)
    assert child.returncode == 0, words
    check_whole(store.open("samples"), ROWS)
    assert sum(answered()) - ROWS <= 2
    _, alive = psutil.wait_procs([*family, *servers], timeout=60)
    assert not alive
    assert not places(nodes)


def is_server(line: list[str] | None, host: str) -> bool:
    """Whether it is a `vllm serve` of the cluster's, and none of its children."""
    words = " ".join(line or [])
    return f"serve {MINIATURE}" in words and f"--host {host}" in words
