"""`vlt push --ray`: a dataset pushed from a cluster is, byte for byte, the one pushed from one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.hub_server import HubServer
from tests.on_ray.cluster import Nodes
from tests.on_ray.stages import prepare

COMMAND = """
import atexit, functools, sys
from vlt import process_pool
from vlt.cluster.tasks import Tasks
from vlt.datagen.export import files
from vlt.datagen.hub import push
from vlt.filters import stats

process_pool.CLUSTER_WORTH, files.GROUP_ROWS, stats.PIECE = 0, 4, 4
push.parquet_shards = functools.partial(files.parquet_shards, size=40_000)
asked, ask = [], Tasks._ask
Tasks._ask = lambda tasks, piece: (asked.append(piece), ask(tasks, piece))
atexit.register(lambda: print(f"tasks={len(asked)}", file=sys.stderr))

from vlt.cli.main import main
main()
"""
"""`vlt`, for which this little is worth a cluster and more than one shard, and which counts its tasks."""


def test_a_pushed_dataset_is_the_same_bytes(nodes: Nodes, tmp_path: Path) -> None:
    prepare(tmp_path)
    here, no_tasks = pushed(tmp_path, "here")
    there, tasks = pushed(tmp_path, "there", "--ray", nodes.address)
    assert no_tasks == 0 and tasks > 15
    assert sum(path.startswith("data/") for path in here) > 1, "several shards"
    assert {"README.md", "vlt/train/manifest.json"} <= set(here)
    assert there == here
    assert not list(tmp_path.rglob(".tasks-*"))


def pushed(root: Path, name: str, *options: str) -> tuple[dict[str, bytes], int]:
    """The files of the samples on a Hub of their own, and how many tasks the push asked for."""
    with HubServer(root / f"hub-{name}") as hub:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                COMMAND,
                "push",
                "samples",
                "me/data",
                "-w",
                "workspace",
                *options,
            ],
            cwd=root,
            env={**os.environ, **hub.environment(root / f"hf-{name}")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        [*_, (_, files)] = hub.repos["dataset", "me/data"].commits
        found = {path: hub.read("dataset", "me/data", path) for path in files}
    [told] = [line for line in done.stderr.splitlines() if line.startswith("tasks=")]
    return found, int(told.removeprefix("tasks="))
