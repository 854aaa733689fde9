"""Generation with replicas on a cluster that stays whole: how they join, what is left, what goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import run_vlt, vlt_error, vlt_json
from tests.on_ray.cluster import LOOPBACK, Nodes
from tests.on_ray.replicas import (
    CONCURRENCY,
    command,
    ledger,
    left_of,
    make_items,
    same_as_on_one_machine,
    servers_of,
    start,
    wait_for,
    workers_of,
)
from tests.on_ray.stand_in import COMMAND, asked, starts
from tests.rows import dataset, item
from vlt.workspace.store import Store

ROWS = 240


def test_two_replicas_make_what_one_machine_makes(nodes: Nodes, tmp_path: Path) -> None:
    workspace, state = make_items(tmp_path, ROWS)
    child = start(command(workspace, state, nodes.address, "--replicas", "2", latency_ms=200))
    wait_for(lambda: len(asked(state)) > ROWS // 4, child)
    seen = json.loads(run_vlt("status", "-w", workspace, "--json").stdout)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert "raylet" not in out + err
    (stage,) = seen["stages"]
    replicas = stage["replicas"]
    assert replicas["ready"] >= 1 and replicas["wanted"] == 2 and replicas["lost_nodes"] == 0
    assert {each["state"] for each in replicas["each"]} <= {"ready", "starting"}
    assert max(each["rate"] for each in replicas["each"]) > 0
    assert asked(state).total() == ROWS
    assert len(list(state.glob("asked-*"))) == 2
    assert all(file.read_bytes() for file in state.glob("asked-*"))
    assert len(list((workspace / "logs").glob("vllm-*-replica-*.log"))) == 2
    same_as_on_one_machine(workspace, tmp_path, ROWS)
    assert not left_of(state, nodes)


@pytest.mark.parametrize("ends", ["ctrl-C", "kill -9", "kill -9 of its worker"])
def test_nothing_is_left_when_the_run_is_gone(nodes: Nodes, tmp_path: Path, ends: str) -> None:
    workspace, state = make_items(tmp_path, ROWS)
    child = start(command(workspace, state, nodes.address, "--replicas", "3", latency_ms=2000))
    wait_for(lambda: len(asked(state)) > 10, child)
    servers = servers_of(state)
    assert servers
    ports = [int(start.split("--port ")[1].split()[0]) for start in starts(state)]
    if ends == "kill -9 of its worker":  # the server goes, and comes again
        worker = next(worker for node in nodes.nodes for worker in workers_of(node))
        worker.kill()
        wait_for(lambda: not all(server.is_running() for server in servers), child)
        wait_for(lambda: len(starts(state)) > 3, child)
    child.send_signal(signal.SIGKILL if ends == "kill -9" else signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == (-signal.SIGKILL if ends == "kill -9" else 130), err
    if ends == "ctrl-C":
        assert not servers_of(state)  # before it ends: the next step may need the memory
    assert not left_of(state, nodes)
    with socket.socket() as opened:
        for port in ports:
            assert opened.connect_ex((LOOPBACK, port)) != 0


def test_a_server_that_dies_is_started_again_and_then_given_up(
    nodes: Nodes, tmp_path: Path
) -> None:
    workspace, state = make_items(tmp_path, ROWS)
    asks = command(workspace, state, nodes.address, "--replicas", "2", dies_at="30 60 20")
    done = run_vlt(*asks)
    assert done.returncode == 0, done.stderr
    assert len(starts(state)) >= 4
    same_as_on_one_machine(workspace, tmp_path, ROWS)
    workspace, state = make_items(tmp_path / "hopeless", 20)
    says = vlt_error(*command(workspace, state, nodes.address, dies_at="0 0 0 0 0 0 0 0 0"))
    assert "vllm serve died 4 times in a row: EngineCore encountered an issue; see " in says
    assert len(starts(state)) == 4


@pytest.mark.parametrize(
    ("more", "served", "says"),
    [
        (
            [],
            {"refuses": ""},
            r"replica 1 on 127\.0\.0\.2: vllm serve did not start: ValueError: no such",
        ),
        (["--vllm-command", "/no/vllm"], {}, r"'/no/vllm' cannot be started \(No such file"),
        (
            ["--replicas", "9"],
            {},
            r"9 replicas \(a core each\) were requested, .* has room for 3; give --rep",
        ),
        (
            ["--replicas", "auto"],
            {},
            r"cluster \(4 nodes\) has no GPUs, .* give --gpus-per-replica 0",
        ),
        (
            ["--gpus-per-replica", "2"],
            {},
            r"cluster \(4 nodes\) has no GPUs, .* needs 2; add a node with",
        ),
    ],
)
def test_one_sentence(
    nodes: Nodes, tmp_path: Path, more: list[str], served: dict[str, str], says: str
) -> None:
    workspace, state = make_items(tmp_path, 5)
    assert re.search(says, vlt_error(*command(workspace, state, nodes.address, *more, **served)))
    assert not asked(state)
    assert not left_of(state, nodes)


def test_no_place_is_free(nodes: Nodes, tmp_path: Path) -> None:
    """Another run holds every core; then a replica that is slow to load."""
    workspace, state = make_items(tmp_path, ROWS)
    other = start(command(workspace, state, nodes.address, "--replicas", "3", latency_ms=900))
    wait_for(lambda: len(starts(state)) == 3, other)
    done = opened(nodes, tmp_path, state, start_seconds=5)
    assert "no replica became ready within 5 s: each waits to be placed (1 core), and " in done
    other.send_signal(signal.SIGINT)
    other.communicate(timeout=60)
    done = opened(nodes, tmp_path, state, start_seconds=2, arguments="--load-seconds 60")
    assert "replica 1 on 127.0.0.2: vllm serve did not answer within 2 s; see " in done
    assert not left_of(state, nodes)


def opened(
    nodes: Nodes, folder: Path, state: Path, start_seconds: float, arguments: str = ""
) -> str:
    """What is said where the engine is opened with so much patience."""
    program = f"""
import sys
from pathlib import Path
from vlt.cluster.connection import connected
from vlt.engine.replica_count import Wanted
from vlt.engine.replicas import ReplicasEngine
from vlt.engine.vllm_server import Serving
from tests.on_ray.stand_in import COMMAND
served = Serving("m", Path({str(folder / "vllm.log")!r}), command=COMMAND,
                 arguments="--state {state} {arguments}", start_seconds={start_seconds})
ReplicasEngine(connected(), served, Wanted(1, 0), load_image={{}}.__getitem__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "VLT_RAY": nodes.address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


RECIPE = """
name: small
cluster: {cluster}
models:
  base: {{model: m, engine: vllm, replicas: 2}}
rollouts: {{k: 1}}
filters: []
rounds:
- items: [{{source: 'workspace:items'}}]
  teacher: base
"""


def test_a_recipe_names_the_cluster_and_a_judge_asks_there(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, state = make_items(tmp_path, 40)
    monkeypatch.setenv("VLT_VLLM_COMMAND", COMMAND)
    monkeypatch.setenv("VLT_VLLM_ARGS", f"--state {state}")
    recipe = tmp_path / "recipe.yaml"
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        nobody = f"{LOOPBACK}:{bound.getsockname()[1]}"
    recipe.write_text(RECIPE.format(cluster=nobody))
    says = vlt_error("run", recipe, "-w", workspace)
    assert f"line 5: models.base: no Ray cluster answers at {nobody}" in says
    assert not starts(state)
    done = run_vlt("run", recipe, "-w", workspace, "--ray", nodes.address)  # goes before
    assert done.returncode == 0, done.stderr
    assert asked(state).total() == 40
    assert len(starts(state)) == 2
    assert Store(workspace).open("samples").manifest.rows == 40
    judge = [
        "judge",
        "samples",
        "-w",
        workspace,
        "--model",
        "m",
        "--engine",
        "vllm",
        "--limit",
        "9",
    ]
    done = run_vlt(*judge, "--rubric", "sound", "--ray", nodes.address)
    assert done.returncode == 0, done.stderr
    assert asked(state).total() == 49
    assert not left_of(state, nodes)


def test_an_evaluation_by_two_replicas(nodes: Nodes, tmp_path: Path) -> None:
    """It finds what an evaluation with one vLLM on this machine finds."""
    found = []
    for name, more in (("here", []), ("nodes", ["--ray", nodes.address, "--replicas", "2"])):
        workspace, state = tmp_path / name, tmp_path / f"state-{name}"
        state.mkdir()
        rows = [item(f"Which? [[{i}]]", "A", answer_type="text") for i in range(ROWS)]
        dataset(Store(workspace), "items", "item", rows)
        says = vlt_json(
            *("eval", "items", "-w", workspace, "--model", "m", "--engine", "vllm"),
            *("--vllm-command", COMMAND, "--vllm-args", f"--state {state} --latency-ms 200"),
            *("--concurrency", CONCURRENCY, *more),
        )
        assert asked(state).total() == len(asked(state)) == ROWS
        assert all(file.read_bytes() for file in state.glob("asked-*"))
        assert len(list(state.glob("asked-*"))) == (2 if more else 1)
        assert not left_of(state, nodes)
        made = [ledger(workspace, version) for version in ("eval-answers", "eval")]
        found.append((says, made))
    assert found[0] == found[1]
    assert 0.1 < found[0][0]["models"][0]["accuracy"]["value"] < 0.4  # it guesses among A to D


def test_each_replica_has_its_gpus(tmp_path: Path) -> None:
    workspace, state = make_items(tmp_path, ROWS)
    with Nodes(nodes=1, cpus=4, gpus=5) as nodes:  # Ray counts what it is told
        more = ["--replicas", "auto", "--gpus-per-replica", "2"]
        done = run_vlt(*command(workspace, state, nodes.address, *more, latency_ms=200))
        assert done.returncode == 0, done.stderr
        gpus = [line.split()[0].partition("=")[2].split(",") for line in starts(state)]
        assert len(gpus) == 2 and len({*gpus[0], *gpus[1]}) == 4
        more = ["--seed", "7", "--gpus-per-replica", "6"]
        says = vlt_error(*command(workspace, state, nodes.address, *more))
        assert "a replica needs 6 GPUs, and no node of the Ray cluster has more than 5" in says
