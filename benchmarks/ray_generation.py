"""What the one client of many replicas costs, and where it ends: requests a second over the ideal.

    python -m benchmarks.ray_generation                     1 to 64 replicas, answers of 5 s
    python -m benchmarks.ray_generation --replicas 16 64 --answer-seconds 1

Whole `vlt gen rollouts --ray` processes, journal included, on a cluster on this machine. The actors, their
placement groups and children are real; the children stand in for `vllm serve` and are cheap: each
claims its port, at which one process of servers answers after the time given, so that 64 replicas fit two
cores. What is told is of the twenty seconds that begin when every replica has been asked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil

from tests.on_ray.cluster import Nodes
from tests.rows import dataset, item
from tests.stub_server import Connection, Server
from vlt.workspace.store import Store

REPLICAS = (1, 2, 4, 8, 16, 32, 64)
IN_FLIGHT = 64
SECONDS = 20.0
READY_SECONDS = 600.0
LOOK_SECONDS = 0.1
STAND_IN = """#!/bin/sh
while [ $# -gt 0 ]; do
  [ "$1" = --host ] && host="$2"
  [ "$1" = --port ] && echo "$host" > "{folder}/$2.new" && mv "{folder}/$2.new" "{folder}/$2"
  shift
done
exec sleep 100000
"""


async def serve(folder: Path, answer_seconds: float) -> None:
    """Answer at every port that a stand-in claims; `counts` in the folder says how often so far."""
    settings = {"latency_ms": 1000 * answer_seconds, "model": "m"}
    there: dict[str, Server] = {}
    loop = asyncio.get_running_loop()
    while True:
        for claim in folder.glob("[0-9]*[0-9]"):
            if claim.name not in there:
                server = there[claim.name] = Server(settings)
                host = claim.read_text().strip()
                connection = partial(Connection, server)
                await loop.create_server(connection, host, int(claim.name), backlog=4096)
        told = folder / "counts.new"
        asked = sum(bool(server.attempts) for server in there.values())
        answered = sum(server.choices - server.in_flight for server in there.values())
        told.write_text(json.dumps({"asked": asked, "answered": answered, "at": time.time()}))
        told.rename(folder / "counts")
        await asyncio.sleep(LOOK_SECONDS)


def counts(folder: Path) -> dict[str, float]:
    """What the servers have written last."""
    found: dict[str, float] = json.loads((folder / "counts").read_text())
    return found


@contextlib.contextmanager
def served(folder: Path, answer_seconds: float) -> Iterator[Path]:
    """The process of servers; the program that stands in for vllm."""
    program = folder / "vllm"
    program.write_text(STAND_IN.format(folder=folder))
    program.chmod(0o755)
    call = (
        f"import asyncio; from pathlib import Path; from benchmarks.ray_generation import serve; \
asyncio.run(serve(Path({str(folder)!r}), {answer_seconds}))"
    )
    process = subprocess.Popen([sys.executable, "-c", call])
    try:
        yield program
    finally:
        process.kill()
        process.wait()


def measure(address: str, replicas: int, answer_seconds: float) -> dict[str, str]:
    """One run, from the moment that all its replicas are asked."""
    ideal = replicas * IN_FLIGHT / answer_seconds
    with tempfile.TemporaryDirectory(prefix="vlt-bench-") as name:
        folder = Path(name)
        rows = [item(f"[[{i}]] How many dots are there?") for i in range(int(ideal * 90) + 1000)]
        dataset(Store(folder / "workspace"), "items", "item", rows)
        with served(folder, answer_seconds) as program:
            command = ["gen", "rollouts", "-w", folder / "workspace", "--model", "m", "-k", "1"]
            command += ["--engine", "vllm", "--vllm-command", program, "--ray", address]
            command += ["--replicas", replicas, "--concurrency", IN_FLIGHT]
            started = time.monotonic()
            child = subprocess.Popen(
                [sys.executable, "-m", "vlt", *map(str, command)],
                stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            try:
                while not (folder / "counts").exists() or counts(folder)["asked"] < replicas:
                    assert child.poll() is None, "vlt has ended"
                    assert time.monotonic() - started < READY_SECONDS, "not every replica came"
                    time.sleep(LOOK_SECONDS)
                ready = time.monotonic() - started
                time.sleep(answer_seconds + 1)  # until each has as many in flight as it takes
                driver = psutil.Process(child.pid)
                began, cpu = counts(folder), sum(driver.cpu_times()[:2])
                time.sleep(SECONDS)
                ended = counts(folder)
                cpu = sum(driver.cpu_times()[:2]) - cpu
                megabytes = driver.memory_info().rss / 1e6
                assert child.poll() is None, "it has asked everything already"
            finally:
                child.send_signal(signal.SIGINT)
                child.wait(120)
    rate = (ended["answered"] - began["answered"]) / (ended["at"] - began["at"])
    return {
        "replicas": str(replicas),
        "answers of": f"{answer_seconds:g} s",
        "ideal, requests/s": f"{ideal:,.0f}",
        "measured": f"{rate:,.0f}",
        "share": f"{rate / ideal:.0%}",
        "driver's CPU": f"{cpu / (ended['at'] - began['at']):.0%} of a core",
        "a request": f"{1000 * cpu / max(1, ended['answered'] - began['answered']):.2f} ms",
        "memory": f"{megabytes:,.0f} MB",
        "all asked after": f"{ready:.0f} s",
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, nargs="+", default=REPLICAS)
    parser.add_argument("--answer-seconds", type=float, default=5.0)
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    with Nodes(nodes=1, cpus=max(given.replicas)) as nodes:
        for place, replicas in enumerate(given.replicas):
            row = measure(nodes.address, replicas, given.answer_seconds)
            if not place:
                print(f"| {' | '.join(row)} |\n|{'---|' * len(row)}")
            print(f"| {' | '.join(row.values())} |", flush=True)


if __name__ == "__main__":
    main()
