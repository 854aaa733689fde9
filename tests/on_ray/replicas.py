"""What the tests of replicas share: a generation in a process of its own, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.cli import run_vlt, start_vlt
from tests.on_ray.cluster import Nodes
from tests.on_ray.stand_in import COMMAND
from tests.rows import dataset, item
from vlt.workspace.manifest import Manifest
from vlt.workspace.store import Store

CONCURRENCY = 4
SECONDS = 90


def make_items(folder: Path, rows: int) -> tuple[Path, Path]:
    """(workspace with so many items, folder for what the servers write down)"""
    workspace, state = folder / "workspace", folder / "state"
    state.mkdir(parents=True)
    dataset(Store(workspace), "items", "item", [item(f"[[{i}]]") for i in range(rows)])
    return workspace, state


def command(
    workspace: Path,
    state: Path,
    address: str | None,
    *more: str,
    vllm: str = COMMAND,
    **served: object,
) -> list[str]:
    """`vlt gen rollouts` by the stand-in, on a cluster or on this machine alone."""
    given = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in served.items())
    where = ["--ray", address] if address else []
    return [
        *("gen", "rollouts", "-w", str(workspace), "--model", "m", "-k", "1", "--engine", "vllm"),
        *("--vllm-command", vllm, "--vllm-args", f"--state {state} {given}"),
        *("--concurrency", str(CONCURRENCY), *where, *more),
    ]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """`vlt` in a process of its own."""
    return start_vlt(*arguments, stdout=subprocess.PIPE, start_new_session=True)


def wait_for(
    ready: Callable[[], object],
    child: subprocess.Popen[str] | None = None,
    seconds: float = SECONDS,
) -> None:
    """Wait until `ready` says so; fails, with what it said, where the child ends before."""
    end = time.monotonic() + seconds
    while not ready():
        if child and child.poll() is not None:
            raise AssertionError(f"it has ended: {child.communicate()}")
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def same_as_on_one_machine(workspace: Path, folder: Path, rows: int) -> None:
    """The version has the content and the ledger of a run with one vLLM on this machine."""
    alone = folder / "alone"
    alone.mkdir()
    other, state = make_items(alone, rows)
    done = run_vlt(*command(other, state, None, latency_ms=1))
    assert done.returncode == 0, done.stderr
    assert ledger(workspace) == ledger(other)


def ledger(workspace: Path, name: str = "samples") -> dict[str, object]:
    """What a version holds and what became of its rows."""
    m: Manifest = Store(workspace).open(name).manifest
    names = ("digest", "rows_in", "rows", "dropped", "failed", "identity")
    return {name: getattr(m, name) for name in names}


def servers_of(state: Path) -> list[psutil.Process]:
    """The processes, servers and their children, whose command line names the folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        is_server = "stand_in.py" in line or "time.sleep(600)" in line
        if str(state) in line and is_server and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def workers_of(node: Any, actor: str = "Replica") -> list[psutil.Process]:
    """The processes of a node's replicas, which ask for the servers."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [p for p in raylet.children(recursive=True) if p.name().startswith(f"ray::{actor}")]


def left_of(state: Path, nodes: Nodes, seconds: float = 20) -> list[str]:
    """What is there of a run that has ended: processes, and places that it holds on the cluster."""
    end = time.monotonic() + seconds
    while (found := [*map(str, servers_of(state)), *places(nodes)]) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def places(nodes: Nodes) -> list[str]:
    """The placement groups that the cluster has not removed."""
    asked = (
        "import json, ray; from ray.util.placement_group import placement_group_table as table\n"
        f"ray.init(address={nodes.address!r}, log_to_driver=False, logging_level='ERROR')\n"
        "print(json.dumps([p['state'] for p in table().values() if p['state'] != 'REMOVED']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True
    )
    return [str(state) for state in json.loads(done.stdout.splitlines()[-1])]
