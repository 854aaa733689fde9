"""Data stages on a Ray cluster of 1, 2 and 3 nodes of one core on this machine, beside one process.

    python -m benchmarks.ray_stages [--rows 300000] [--images 15000] [--nodes 1,2,3] [--only filter]
                                    [--times 2]

Prints, in seconds: the CPU of the command's process and Ray's workers; that of the command's process alone
("here"), which more nodes cannot take over; the CPU for connecting and starting a process on each node that
imports what the stage needs ("start", less what a command that only imports it needs without Ray); what is
left of the CPU beyond that, divided by that of one process ("over": the goal is 1.15 at one node); the CPU of
Ray's own processes meanwhile, which they also use while idle; and the wall. On two cores three nodes cannot
be faster than two, and on a busy machine walls say nothing. Each line is the one of `--times` runs that took
the least CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.filter_corpora import make_samples
from benchmarks.filters import WORDS_REFLECTION_SELECT, chain
from benchmarks.measured import run_measured
from tests.on_ray.cluster import Nodes
from vlt.cluster.address import VARIABLE
from vlt.cores import VARIABLE as PROCESSES

LOOK = 0.1
"""Seconds from one look at the cluster's processes to the next."""
JOBS = {
    "filter": "words, reflection, select",
    "dedup": "repetition, near dedup",
    "import": "images of 30 kB, from files",
    "export": "Parquet, the images inside",
}
NEEDS = {
    "filter": "vlt.filters.apply",
    "dedup": "vlt.filters.apply",
    "import": "vlt.datagen.sources.load_on_cluster",
    "export": "vlt.datagen.export.files",
}
"""What their tasks import."""
NOTHING = "nothing, as "
"""Before a job's name: the same command, which imports what the job needs and does nothing."""


def carry_out(name: str, folder: Path) -> None:
    """One stage, which goes to a cluster however small it is; its process is measured from outside."""
    import vlt.datagen.sources.load_on_cluster as images
    import vlt.process_pool as pool

    pool.CLUSTER_WORTH, images.ALONE = 0.0, 0
    if name.startswith(NOTHING):
        start_up(NEEDS[name.removeprefix(NOTHING)], folder)
    elif name == "filter":
        chain(*WORDS_REFLECTION_SELECT)(folder)
    elif name == "dedup":
        chain("repetition", "near_dedup")(folder)
    elif name == "import":
        with tempfile.TemporaryDirectory(dir=folder) as workspace:
            imported(folder, Path(workspace))
    else:
        exported(folder)


def start_up(module: str, folder: Path) -> None:
    """Connects, and has each node do nothing but import a module."""
    from benchmarks.ray_stages import idle  # not of __main__, which does not travel
    from vlt.process_pool import shared_out

    nodes = int(os.environ.get("NODES", "1"))
    given = [(module, seconds) for seconds in (0.0, 0.01, *[0.3] * 4 * nodes)]
    for _ in shared_out(idle, given, len(given), folder):
        pass


def idle(given: tuple[str, float]) -> None:
    """The job that does nothing: (what it imports, how long it waits)."""
    importlib.import_module(given[0])
    time.sleep(given[1])


def imported(folder: Path, workspace: Path) -> None:
    """Rows with pictures."""
    from vlt.datagen.sources import make_items
    from vlt.workspace.store import Store

    made, _ = make_items(Store(workspace), str(folder / "source" / "rows.jsonl"), name="items")
    assert made.manifest.rows, "it has rows"


def exported(folder: Path) -> None:
    """Rows with the pictures in them, as a push sends them."""
    from vlt.datagen.export.files import parquet_shards
    from vlt.images.store import ImageStore
    from vlt.workspace.store import Store

    store = Store(folder / "imported")
    with (
        tempfile.TemporaryDirectory(dir=folder) as to,
        ImageStore(store.images_folder, read_only=True) as held,
    ):
        for shard in parquet_shards(store.open("items"), held, Path(to)):
            shard.unlink()


def prepare(folder: Path, rows: int, images: int) -> None:
    """What is not there yet."""
    if not (folder / "workspace" / "datasets" / "samples").exists():
        make_samples(folder, rows)
    if not (folder / "source" / "rows.jsonl").exists():
        importlib.import_module("benchmarks.import").draw(folder / "source", images, 30)
    if not (folder / "imported" / "datasets" / "items").exists():
        imported(folder, folder / "imported")


AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


class ClusterSeconds:
    """CPU seconds of Ray's workers and of its own processes; nobody waits for them, so they are sampled."""

    def __init__(self, nodes: Nodes):
        self._roots = [
            psutil.Process(each.process.pid)
            for node in (nodes.head, *nodes.nodes)
            for kind in node.all_processes.values()
            for each in kind
        ]
        self._first: dict[tuple[bool, int], float] = {}
        self._last: dict[tuple[bool, int], float] = {}
        """(whether it is a worker, pid) -> seconds"""
        self._over = threading.Event()
        self._look(self._first)
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def spent(self) -> tuple[float, float]:
        """(by workers, by Ray itself) since this was made; it ends here."""
        self._over.set()
        self._thread.join()
        found = {True: 0.0, False: 0.0}
        for (worker, pid), last in self._last.items():
            found[worker] += last - self._first.get((worker, pid), 0.0)
        return found[True], found[False]

    def _watch(self) -> None:
        while not self._over.wait(LOOK):
            self._look(self._last)

    def _look(self, seen: dict[tuple[bool, int], float]) -> None:
        for root in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in (root, *root.children(recursive=True)):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        seen[_is_worker(process), process.pid] = sum(process.cpu_times()[:2])


def _is_worker(process: psutil.Process) -> bool:
    name = " ".join(process.cmdline())
    return "default_worker" in name or (name.startswith("ray::") and not name.startswith(AGENTS))


@dataclass(frozen=True)
class Measured:
    """What a job took, in seconds."""

    here: float
    """CPU of the command's process."""
    wall: float
    workers: float = 0.0
    """CPU of Ray's workers."""
    ray: float = 0.0
    """CPU of Ray's own processes meanwhile."""

    @property
    def cpu(self) -> float:
        """Of the work."""
        return self.here + self.workers


def measured(name: str, folder: Path, nodes: Nodes | None) -> Measured:
    """Run a job in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.ray_stages",
        "--job",
        name,
        "--folder",
        str(folder),
    ]
    environment: dict[str, Any] = {PROCESSES: "1", VARIABLE: nodes.address if nodes else ""}
    environment["NODES"] = str(len(nodes.nodes) if nodes else 1)
    if nodes is None:
        cost = run_measured(command, environment, quiet=True)
        return Measured(cost.cpu, cost.seconds)
    watched = ClusterSeconds(nodes)
    cost = run_measured(command, environment, quiet=True)
    return Measured(cost.cpu, cost.seconds, *watched.spent())


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--images", type=int, default=15_000)
    parser.add_argument("--nodes", default="1,2,3")
    parser.add_argument("--only", default=",".join(JOBS), help="jobs, by comma")
    parser.add_argument(
        "--times", type=int, default=1, help="runs of each, of which the best counts"
    )
    parser.add_argument("--folder", type=Path, default=Path("/tmp/vlt-bench-ray"))
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        carry_out(given.job, given.folder)
        return
    os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    folder = given.folder / f"{given.rows}-{given.images}"
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, given.rows, given.images)
    print(
        f"{given.rows:,} samples of 300 words, {given.images:,} images; load {os.getloadavg()[0]:.0f}"
    )
    print(
        f"{'job':8} {'nodes':>6} {'CPU':>6} {'here':>6} {'start':>6} {'over':>6} {'Ray':>6} {'wall':>7}"
    )

    def best(name: str, nodes: Nodes | None) -> Measured:
        made = [measured(name, folder, nodes) for _ in range(given.times)]
        return min(made, key=lambda each: each.cpu)

    names = given.only.split(",")
    idling = {name: best(NOTHING + name, None) for name in names}
    alone = {name: best(name, None) for name in names}
    for name, one in alone.items():
        costs = f"{one.cpu:6.1f} {one.here:6.1f} {'':20} {one.wall:7.1f}"
        print(f"{name:8} {'none':>6} {costs}  {JOBS[name]}", flush=True)
    for count in map(int, given.nodes.split(",")):
        with Nodes(count) as nodes:
            measured(NOTHING + names[0], folder, nodes)  # Ray first reads its files from the disk
            for name, one in alone.items():
                start = best(NOTHING + name, nodes).cpu - idling[name].cpu
                made = best(name, nodes)
                over = (made.cpu - start) / one.cpu
                costs = f"{made.cpu:6.1f} {made.here:6.1f} {start:6.1f} {over:6.2f} {made.ray:6.1f}"
                print(f"{name:8} {count:6} {costs} {made.wall:7.1f}", flush=True)


if __name__ == "__main__":
    main()
