"""Speed and memory of `vlt push` to the Hub, and of `vlt pull`.

    python -m benchmarks.push [--rows 20000] [--kilobytes 30] [--pull]

Makes a workspace with that many verified responses, each with its own image file (200 different
pictures), pushes it with the command as a user runs it to a Hub on loopback (tests/hub_server.py, a
separate process that writes to disk), and prints rows per second, CPU and the peak memory of the
command's process. The bar is 1,000 MB at 100,000 rows; for comparison, it times a copy of the images.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.measured import Cost, run_measured
from tests.hub_server import client_environment
from vlt.images.inspect import Inspected, inspect_image
from vlt.images.store import ImageStore
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import SAMPLE, item_id
from vlt.workspace.store import Store
from vlt.workspace.writer import Writer

BATCH = 1_000
DRAWN = 200
WORDS = "the bar of 2014 is taller than that of 2015 so look at both again and compare".split()


def make(workspace: Path, rows: int, kilobytes: float) -> None:
    """A version `sft` with `rows` responses of some 250 words."""
    photograph = importlib.import_module("benchmarks.import").photograph
    rng = np.random.default_rng(1)
    drawn = [inspect_image(photograph(rng, kilobytes)) for _ in range(DRAWN)]
    store = Store(workspace)
    with (
        Writer(store, Stage("filter", {"bench": rows}), "sft", "sample") as writer,
        ImageStore(store.images_folder) as images,
    ):
        for start in range(0, rows, BATCH):
            made = [_row(place, drawn, images) for place in range(start, min(start + BATCH, rows))]
            table = pa.Table.from_pylist(made, SAMPLE)
            writer.expect(table)
            writer.keep(table)


def _row(place: int, drawn: list[Inspected], images: ImageStore) -> dict[str, object]:
    image = renamed(drawn[place % DRAWN], place)
    images.add_new(image)
    rng = np.random.default_rng(place)
    think = " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), 250))
    question, answer = f"How many, in {place}?", str(place % 9)
    return {
        "id": item_id("bench", question, [], answer, [image.sha256]),
        "source": f"source {place % 5}",
        "question": question,
        "choices": [],
        "answer": answer,
        "answer_type": "integer",
        "images": [image.sha256],
        "meta": "{}",
        "sample": 0,
        "response": f"<think>{think}</think> <answer>{answer}</answer>",
        "reasoning": think,
        "predicted": answer,
        "finish_reason": "stop",
        "prompt_tokens": 400,
        "completion_tokens": 300,
        "model": "bench",
        "verdict": "correct",
        "verdict_reason": "same text",
    }


def renamed(image: Inspected, place: int) -> Inspected:
    """The same picture as another file, with a comment after the JPEG's first marker."""
    comment = f"picture {place:09d}".encode()
    marker = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    data = image.data[:2] + marker + image.data[2:]
    info = replace(image.info, bytes=len(data))
    return Inspected(hashlib.sha256(data).hexdigest(), data, info, converted=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kilobytes", type=float, default=30)
    parser.add_argument("--pull", action="store_true", help="also pull it into another workspace")
    parser.add_argument(
        "--folder",
        type=Path,
        default=None,
        help="where to put everything (it is removed afterwards)",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vlt-push-", dir=options.folder) as temporary:
        folder = Path(temporary)
        make(folder / "workspace", options.rows, options.kilobytes)
        size = sum(f.stat().st_size for f in (folder / "workspace").rglob("*") if f.is_file())
        print(f"{options.rows:,} rows, {size / 1e9:.2f} GB with their images", flush=True)
        started = time.perf_counter()
        shutil.copytree(folder / "workspace" / "images", folder / "copy")
        copied = time.perf_counter() - started
        shutil.rmtree(folder / "copy")
        hub = subprocess.Popen(
            [sys.executable, "-m", "tests.hub_server", str(folder / "hub")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert hub.stdin and hub.stdout, "Popen was given PIPE"
        try:
            environment = client_environment(hub.stdout.readline().strip(), folder / "cache")
            vlt = [sys.executable, "-m", "vlt.cli.main"]
            pushed = [*vlt, "push", "sft", "me/bench", "-w", str(folder / "workspace")]
            show("vlt push", run_measured(pushed, environment), options.rows)
            if options.pull:
                pulled = [*vlt, "pull", "me/bench", "-w", str(folder / "other")]
                show("vlt pull", run_measured(pulled, environment), options.rows)
        finally:
            hub.stdin.close()
            hub.wait()
    print(f"copying the images' files takes {copied:.1f} s")


def show(what: str, cost: Cost, rows: int) -> None:
    """Print one line for a command."""
    missed = "" if cost.megabytes <= 1000 else ", MISSED"
    print(
        f"{what}  {cost.seconds:6.1f} s  {rows / cost.seconds:7,.0f} rows/s  "
        f"{1e3 * cost.cpu / rows:.2f} ms CPU per row  peak {cost.megabytes:,.0f} MB (bar 1,000{missed})"
    )


if __name__ == "__main__":
    main()
