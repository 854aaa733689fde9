"""vlt doctor --ray: a line per node, version mismatches, and a disk that is not shared."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.cli import run_vlt
from tests.on_ray.cluster import LOOPBACK, Nodes
from tests.on_ray.namespaces import needs_namespaces
from tests.processes import wait_for
from vlt.cluster.address import VARIABLE
from vlt.doctor.cluster import SAME, Node, findings
from vlt.doctor.finding import Finding

VERSIONS = {"python": "3.11.7", **dict.fromkeys(SAME, "1.0"), "vllm": None}


def lines(found: Iterator[Finding] | list[Finding], what: str) -> list[Finding]:
    return [finding for finding in found if finding.what == what]


def doctor(nodes: Nodes, workspace: Path) -> tuple[int, str]:
    """The exit code and what is printed."""
    done = subprocess.run(
        [sys.executable, "-m", "vlt", "doctor", "--ray", nodes.address, "-w", str(workspace)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_cluster_that_is_well(nodes: Nodes, tmp_path: Path) -> None:
    code, printed = doctor(nodes, tmp_path)
    assert code == 0, printed
    assert "SIGTERM" not in printed  # of Ray, which is connected to in a thread here
    found = [line.split(maxsplit=1) for line in printed.splitlines()]
    told = [line[1] for line in found if len(line) == 2 and line[0] == "ok"]
    assert any(line.startswith("Ray ") and "4 nodes, 3 cores, 0 GPUs" in line for line in told)
    python = ".".join(map(str, sys.version_info[:3]))
    each = [line for line in told if line.startswith("node ")]
    assert len(each) == 4 and all(line.endswith(f"Python {python}") for line in each)
    assert any(
        line.startswith("versions") and "the same on all nodes: vlt " in line for line in told
    )
    assert any(f"all nodes see '{tmp_path}'" in line for line in told)
    assert not list(tmp_path.iterdir())


def test_no_cluster_is_a_finding_with_what_to_do(tmp_path: Path) -> None:
    done = run_vlt("doctor", "--ray", "127.0.0.2:1", "-w", str(tmp_path))
    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if "no Ray cluster answers" in line]
    assert line.startswith("broken") and "127.0.0.2:1" in line and "`ray start --head`" in line


@contextmanager
def node_that_sees_another(folder: Path, nodes: Nodes) -> Iterator[None]:
    """A node in whose mounts another disk lies where the folder is."""
    ray = Path(sys.executable).with_name("ray")
    start = [str(ray), "start", "--block", "--num-cpus=1", f"--address={nodes.address}"]
    start += [f"--node-ip-address={LOOPBACK}"]
    mounted = f"mount -t tmpfs none {shlex.quote(str(folder))} && exec {shlex.join(start)}"
    started = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", mounted],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        of_it = [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]
        for process in of_it:
            process.kill()
        psutil.wait_procs(of_it, timeout=10)
        started.wait()


def test_a_node_that_does_not_see_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_namespaces()
    with Nodes(1) as own, node_that_sees_another(tmp_path, own):
        monkeypatch.setenv(VARIABLE, own.address)
        wait_for(lambda: "3 nodes" in doctor(own, tmp_path)[1], 120)
        code, printed = doctor(own, tmp_path)
    assert code == 1
    [line] = [line for line in printed.splitlines() if "not see" in line]
    assert line.startswith("broken") and f"does not see '{tmp_path}'; put the workspace" in line
    assert "broken  node" not in printed


def test_a_node_that_is_lost_while_it_is_asked(tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", LOSE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr[-3000:]
    assert asked.stdout.split("\n")[:1] == ["was lost during the check"]


LOSE = """
import sys, threading, time
from pathlib import Path
import os
os.environ["PYTHONPATH"] = os.getcwd()
from tests.on_ray.cluster import Nodes
from vlt.cluster.connection import connected
from vlt.doctor.cluster import asked

with Nodes(2) as nodes:
    os.environ["VLT_RAY"] = nodes.address
    ray = connected()
    # The file is not there, so each node looks for ten seconds.
    lost = threading.Timer(5, lambda: nodes.kill(nodes.nodes[0]))
    lost.start()
    for node in asked(ray, Path(sys.argv[1]) / "no-such-file"):
        if node.trouble:
            print(node.trouble)
    ray.shutdown()
"""


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"torch": "2.0"},
            "torch differs: 1.0 on a; 2.0 on b; install the same version on every node",
        ),
        ({"vllm": "0.32"}, "vllm differs: not installed on a; 0.32 on b"),
        ({"python": "3.12.1"}, "python differs: 3.11.7 on a; 3.12.1 on b"),
        ({"vlt": None}, "vlt differs: 1.0 on a; not installed on b"),
    ],
)
def test_versions_that_differ(changed: dict[str, str | None], says: str) -> None:
    nodes = [Node("a", 8, 1, VERSIONS, True), Node("b", 8, 1, {**VERSIONS, **changed}, True)]
    [found] = lines(findings(nodes, Path("/w")), "versions")
    assert found.state == "broken" and found.line.startswith(says)


def test_what_is_nowhere_and_what_is_on_many() -> None:
    without = {**VERSIONS, "trl": None}
    [found] = lines(findings([Node("a", 8, 1, without, True)], Path("/w")), "versions")
    assert found.line == "trl is on no node; `pip install 'vlt-loop[ray]'` on each"
    many = [Node(str(i), 8, 1, VERSIONS, i < 2) for i in range(9)]
    [found] = lines(findings(many, Path("/w")), "shared disk")
    assert found.says == "2, 3, 4, 5 and 3 more do not see '/w'"
    [found] = lines(findings(many, Path("/w"), "Read-only file system"), "shared disk")
    assert found.state == "warning" and "cannot be written (Read-only file system)" in found.says
    silent = [Node("a", 8, 1, trouble="did not answer within 60 s")]
    [_, found] = findings(silent, Path("/w"))
    assert found.line.startswith("a did not answer within 60 s; see `ray status`")
