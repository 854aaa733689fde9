"""recipes/cluster/slurm.sbatch on two hosts with networks of their own, by a stand-in for srun.

Where there is GlusterFS, their workspace is on a disk that each of them mounts for itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.network_disk import lacks, volumes
from tests.on_ray.namespaces import NAMESPACES, needs_namespaces
from tests.processes import line_of
from tests.tiny import samples, tiny_vlm
from vlt.runs.recipe import BUNDLED
from vlt.workspace.store import Store

SCRIPT = BUNDLED / "cluster" / "slurm.sbatch"
STAND_IN = Path(__file__).with_name("slurm")


def test_a_training_over_the_nodes_of_a_job(tmp_path: Path) -> None:
    needs_namespaces()
    here = there = tmp_path
    if on_network := not lacks():
        volumes(tmp_path, "10.77.0.1", 24007)
        here, there = tmp_path / "disk", tmp_path / "mounted"
        there.mkdir()
    store = Store(here / "workspace")
    data = samples(store, 16)
    tiny_vlm(here / "vlm")
    meeting = tmp_path / "slurm"
    meeting.mkdir()
    given = {"max_steps": 2, "per_device_train_batch_size": 2}
    words = ["train", "sft", "--data", data.ref, "--model", str(there / "vlm"), "--processes", "2"]
    words += [f"--set={name}={value}" for name, value in given.items()]
    before = {process.pid for process in psutil.process_iter()}
    done = subprocess.run(
        [*NAMESPACES, str(STAND_IN / "job"), str(SCRIPT), *words, "-w", str(there / "workspace")],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.getcwd(),
            "SLURM_STAND_IN": str(meeting),
            "SHARED_DISK": str(tmp_path) if on_network else "",
            "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # the other's Ray ends after the first's
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    other = (meeting / "other.log").read_text()
    assert done.returncode == 0, done.stdout + done.stderr + other
    assert "Running command on head node: ['bash', '-c'" in done.stdout
    assert "On worker node. Connecting to Ray cluster at 10.77.0.1:6386" in other
    facts = store.open("sft-model").manifest.facts
    assert (facts["steps"], facts["processes"]) == (2, 2)
    left = [line_of(each) for each in psutil.process_iter() if each.pid not in before]
    assert not [line for line in left if str(tmp_path) in line or "10.77.0.1" in line]


def test_without_a_command_it_says_how_it_is_called() -> None:
    done = subprocess.run(["bash", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("usage: sbatch")
