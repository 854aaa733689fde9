"""Generation with replicas on a cluster that stays whole: how they join, what is left, what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cli import run_vlt, vlt_error
from tests.on_ray.cluster import Nodes
from tests.on_ray.replicas import (
    command,
    left_of,
    make_items,
    places,
    same_as_on_one_machine,
    start,
    wait_for,
)
from tests.on_ray.stand_in import asked, starts
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
