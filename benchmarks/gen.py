"""What generation costs: CPU, memory, speed and the time to the first request.

    python -m benchmarks.gen                    all tables (about five minutes on two cores)
    python -m benchmarks.gen cpu memory         some of them
    python -m benchmarks.gen cpu --curator DIR  compared with bespokelabs-curator in the venv DIR

All figures are for whole `vlt gen` processes, including journal and Parquet, against
tests/stub_server.py on the same machine. Start-up is measured with one row and subtracted where a table
says "per 1,000".
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.stub import Stub
from vlt.images.store import ImageStore
from vlt.prompts import Prompt, render
from vlt.request import Completion, request_key
from vlt.workspace.journal import Journal
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import ITEM, item_id
from vlt.workspace.store import Store
from vlt.workspace.writer import Writer

SYSTEM = (
    "You are a careful reasoner. Think inside <think></think>, answer inside <answer></answer>."
)
WORDS = (
    "triangle circle angle chart axis value measure compare between percent the of a in which "
    "shows label height width length red blue largest smallest total sum what is for each year"
)
IMAGE_BYTES = 30_000
REPEATS = 3


@dataclass
class Run:
    """One process, measured from outside."""

    wall: float
    cpu: float
    peak_mb: float
    stats: dict[str, Any]
    began: float

    @property
    def first_request(self) -> float:
        """Seconds from the start of the process to its first request."""
        return self.stats["first"] - self.began


def question(i: int) -> str:
    """About 300 tokens with the system prompt."""
    chosen = random.Random(i).choices(WORDS.split(), k=230)
    return f"[[{i:07d}]] " + " ".join(chosen)


def jpeg(seed: int) -> bytes:
    """An image of about 30 KB."""
    noise = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype="uint8")
    picture = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    for quality in range(12, 96):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        if buffer.tell() >= IMAGE_BYTES:
            break
    return buffer.getvalue()


def make_items(workspace: Path, rows: int, pictures: int) -> None:
    """A workspace with `rows` items, each with one of `pictures` images if there are any."""
    store = Store(workspace)
    images = ImageStore(store.images_folder)
    hashes = [images.add(jpeg(seed)) for seed in range(pictures)]
    images.close()
    with Writer(store, Stage("bench", {"rows": rows}), "items", "item") as writer:
        for start in range(0, rows, 5000):
            made = [item(i, hashes) for i in range(start, min(rows, start + 5000))]
            table = pa.Table.from_pylist(made, schema=ITEM)
            writer.expect(table)
            writer.keep(table)


def item(i: int, hashes: list[str]) -> dict[str, Any]:
    """Item number i."""
    images = [hashes[i % len(hashes)]] if hashes else []
    text = question(i)
    return {
        "id": item_id("bench", text, [], "A", images),
        "source": "bench",
        "question": text,
        "choices": [],
        "answer": "A",
        "answer_type": "text",
        "images": images,
        "meta": "{}",
    }


def generate(workspace: Path, stub: Stub, *options: str) -> Run:
    """Run `vlt gen rollouts -k 1` in the workspace."""
    stub.reset()
    command = [sys.executable, "-m", "vlt.cli.main", "gen", "rollouts", "-w", str(workspace)]
    command += ["--model", "stub", "--base-url", stub.url, "-k", "1", "--system", SYSTEM, *options]
    return measure(command, stub)


def measure(command: list[str], stub: Stub, environment: dict[str, str] | None = None) -> Run:
    """Run a command to completion: its wall time, CPU and peak memory, and the stub's counts."""
    began, clock = time.time(), time.monotonic()
    with tempfile.TemporaryFile() as messages:
        child = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=messages,
            env={**os.environ, "PYTHONSAFEPATH": "1", **(environment or {})},
        )
        peak_kb = 0
        while not (ended := os.wait4(child.pid, os.WNOHANG))[0]:
            # Of the child alone: ru_maxrss would start at what this process had when it forked.
            peak_kb = max(peak_kb, _peak_kb(child.pid))
            time.sleep(0.01)
        _, status, usage = ended
        child.returncode = os.waitstatus_to_exitcode(status)
        messages.seek(0)
        words = messages.read()
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {child.returncode}: {words.decode()}")
    cpu = usage.ru_utime + usage.ru_stime
    wall = time.monotonic() - clock
    return Run(wall, cpu, peak_kb / 1024, stub.stats(), began)


def _peak_kb(pid: int) -> int:
    """VmHWM; 0 if the process is just ending."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


@contextmanager
def workspace(rows: int, pictures: int = 0) -> Iterator[Path]:
    """A temporary workspace of items."""
    folder = Path(tempfile.mkdtemp(prefix="vlt-bench-"))
    try:
        make_items(folder, rows, pictures)
        yield folder
    finally:
        shutil.rmtree(folder)


def cpu(curator: Path | None) -> None:
    """CPU seconds per 1,000 requests, text and image; latency 0, concurrency 64."""
    print(
        "\n| 2,000 requests, latency 0, concurrency 64 | CPU s / 1k | requests/s | peak MB | start-up CPU s |"
    )
    print("|---|---|---|---|---|")
    ours: dict[bool, float] = {}
    for pictures in (0, 64):
        with Stub() as stub:
            runs, idles = [], []
            for _ in range(REPEATS):
                with workspace(2000, pictures) as folder:
                    idles.append(generate(folder, stub, "--limit", "1", "--as", "one"))
                    runs.append(generate(folder, stub))
        idle = median(run.cpu for run in idles)
        each = [(run.cpu - idle) / 2 for run in runs]
        ours[bool(pictures)] = median(each)
        rate = median(r.stats["requests"] / (r.stats["last"] - r.stats["first"]) for r in runs)
        peak = max(run.peak_mb for run in runs)
        name = "vlt, image of 30 KB" if pictures else "vlt, text"
        print(
            f"| {name} | {median(each):.3f} | {rate:,.0f} | {peak:.0f} | {idle:.2f} |", flush=True
        )
    if curator:
        _curator(curator, ours[False])


def _curator(venv: Path, ours: float) -> None:
    script = Path(__file__).with_name("gen_curator.py")
    runs = {}
    for rows in (10, 2000):
        with Stub() as stub, tempfile.TemporaryDirectory() as cache:
            environment = {"ROWS": str(rows), "URL": stub.url, "CURATOR_CACHE_DIR": cache}
            runs[rows] = measure([str(venv / "bin/python"), str(script)], stub, environment)
    each = (runs[2000].cpu - runs[10].cpu) / 1.99
    s = runs[2000].stats
    rate = s["requests"] / (s["last"] - s["first"])
    print(
        f"| curator, text | {each:.3f} | {rate:,.0f} | {runs[2000].peak_mb:.0f} | {runs[10].cpu:.2f} |"
    )
    print(f"\ncurator / vlt: {each / ours:.1f} times the CPU per request")


def latency(_: Path | None) -> None:
    """Share of the ideal rate at a latency of 200 ms and a concurrency of 256."""
    rows, seconds, concurrency = 10_000, 0.2, 256
    with Stub(latency_ms=seconds * 1000) as stub, workspace(rows) as folder:
        run = generate(folder, stub, "--concurrency", str(concurrency))
    span = run.stats["last"] - run.stats["first"] + seconds
    ideal = -(-rows // concurrency) * seconds
    print(
        f"\n{rows:,} requests at {seconds * 1000:.0f} ms, concurrency {concurrency}: {span:.1f} s, "
    )
    print(f"ideal {ideal:.1f} s: {ideal / span:.0%} of the ideal rate")


def memory(_: Path | None) -> None:
    """Peak memory of the process as the rows grow; images of 30 KB."""
    print("\n| image requests | peak MB | seconds |")
    print("|---|---|---|")
    for rows in (2000, 10_000, 50_000):
        with Stub() as stub, workspace(rows, 64) as folder:
            run = generate(folder, stub)
        print(f"| {rows:,} | {run.peak_mb:.0f} | {run.wall:.1f} |", flush=True)


def first(_: Path | None) -> None:
    """Seconds from the command's start to its first request."""
    print("\n| rows in the journal before | seconds to the first request |")
    print("|---|---|")
    rows = 100_000
    with Stub() as stub, workspace(rows + 2000) as folder:
        run = generate(folder, stub, "--limit", "2000", "--as", "none")
        print(f"| 0 | {run.first_request:.2f} |", flush=True)
        store = Store(folder)
        fill_journal(store, 2000, 2000 + rows)
        run = generate(folder, stub, "--temperature", "0.5", "--limit", "2000", "--as", "other")
        print(f"| {rows:,}, of other prompts | {run.first_request:.2f} |", flush=True)
        with Writer(store, Stage("bench", {"one": 1}), "late", "item") as writer:
            for batch in store.open("items").batches():
                writer.expect(batch)
                writer.keep(batch)
            late = pa.Table.from_pylist([item(10**6, [])], schema=ITEM)
            writer.expect(late)
            writer.keep(late)
        run = generate(folder, stub, "late", "--as", "resumed")
        print(
            f"| {rows + 2000:,}, all of them before the row that is missing | {run.first_request:.2f} |"
        )


def fill_journal(store: Store, start: int, stop: int) -> None:
    """Fill the journal as if these items had been answered with the settings of `generate`."""
    from vlt.datagen.asking import ROLLOUTS

    prompt, sampling = Prompt(user=ROLLOUTS.prompt.user, system=SYSTEM), ROLLOUTS.sampling
    identity = {"name": "stub", "revision": None}
    journal = Journal(store.journal_file)
    for i in range(start, stop):
        key = request_key(identity, render(prompt, item(i, []), images=True), sampling)
        journal.put(Completion(key, 0, "<think>so</think> <answer>A</answer>", "stop", 300, 60))
    journal.close()


TABLES = {"cpu": cpu, "latency": latency, "memory": memory, "first": first}


def main() -> None:
    """Print the tables that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], help="[all]")
    parser.add_argument("--curator", type=Path, help="a venv with bespokelabs-curator 0.1.31")
    arguments = parser.parse_args()
    machine = {"cpus": os.cpu_count(), "python": sys.version.split()[0]}
    print(json.dumps(machine))
    for name in arguments.tables or TABLES:
        TABLES[name](arguments.curator)


if __name__ == "__main__":
    main()
