"""What filters and dedup cost, beside the bare work that cannot be avoided.

    python -m benchmarks.filters                    # 100,000 rows: about five minutes on two cores
    python -m benchmarks.filters --rows 1000000     # the sizes that the targets speak of
    python -m benchmarks.filters --only chain,near

Every job is a process of its own; CPU seconds (user + system, of all its threads, starting up and
importing included) and peak memory are the kernel's. Corpora are made once and kept in --folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpus import Texts, free_text, score, template_text, vocabulary
from vlt.schema import SAMPLE
from vlt.stage import Stage
from vlt.store import Store
from vlt.writer import Writer

GROUP = 10_000
CHARTS = 10_000
Facts = dict[str, Any]
"""What a job found; a function among the values is called once the job has been measured."""


def make_samples(folder: Path, rows: int) -> None:
    """A dataset `samples`: four traces of about 300 words to a question, 60 % of them correct.

    Two in five hold a second thought, one in twenty speaks of the caption, one in fifty is looped.
    """
    rng = np.random.default_rng(0)
    words, texts = vocabulary(rng), Texts(min(rows, 100_000), rng)
    stage = Stage("gen reasoning", {"benchmark": rows})
    with Writer(Store(folder / "workspace"), stage, "samples", "sample") as writer:
        for start in range(0, rows, GROUP):
            table = _samples(start, min(GROUP, rows - start), words, texts, rng)
            writer.expect(table)
            writer.keep(table)


def _samples(start: int, rows: int, words: pa.Array, texts: Texts, rng: Any) -> pa.Table:
    drawn = [texts[int(i)] for i in rng.integers(0, len(texts.offsets) - 1, rows)]
    traces = []
    for number, numbers in enumerate(drawn):
        parts = words.take(pa.array(numbers)).to_pylist()
        half = len(parts) // 2
        if number % 5 < 2:
            parts.insert(half, "Wait, let me check.")
        if number % 20 == 7:
            parts.insert(0, "Based on the caption, this is clear.")
        if number % 50 == 13:
            parts += ["and so it is the same as it was before"] * 20
        traces.append(" ".join(parts))
    ids = [f"{(start + i) // 4:032x}" for i in range(rows)]
    responses = [f"<think>{trace}</think>\n<answer>4</answer>" for trace in traces]
    columns: dict[str, Any] = {
        "id": ids,
        "source": [f"source{(start + i) // 4 % 6}" for i in range(rows)],
        "question": [f"What is the number of item {(start + i) // 4}?" for i in range(rows)],
        "choices": [[] for _ in range(rows)],
        "answer": ["4"] * rows,
        "answer_type": ["integer"] * rows,
        "images": [[f"{(start + i) // 4:064x}"] for i in range(rows)],
        "meta": ["{}"] * rows,
        "sample": [(start + i) % 4 for i in range(rows)],
        "response": responses,
        "reasoning": traces,
        "predicted": ["4"] * rows,
        "finish_reason": ["stop"] * rows,
        "completion_tokens": [400] * rows,
        "model": ["benchmark"] * rows,
        "verdict": np.where(rng.random(rows) < 0.6, "correct", "wrong").tolist(),
    }
    missing = {name: pa.nulls(rows, SAMPLE.field(name).type) for name in SAMPLE.names}
    arrays = {name: pa.array(values, SAMPLE.field(name).type) for name, values in columns.items()}
    return pa.table({**missing, **arrays}, schema=SAMPLE)


def read_and_write(folder: Path) -> Facts:
    """The samples through pyarrow and nothing else, written as the store writes."""
    samples = Store(folder / "workspace").open("samples")
    with pq.ParquetWriter(
        folder / "copy.parquet", samples.schema, compression="zstd", compression_level=1
    ) as writer:
        for batch in samples.batches():
            writer.write_batch(batch)
    (folder / "copy.parquet").unlink()
    return {}


def chain(*filters: Any) -> Callable[[Path], Facts]:
    """A job that runs these filters over the samples."""

    def run(folder: Path) -> Facts:
        from filters.make import make_filtered

        store = Store(folder / "workspace")
        shutil.rmtree(store.folder("sample") / "filtered", ignore_errors=True)
        made, _ = make_filtered(
            store, store.open("samples"), chain=filters, name="filtered", memory="500MB"
        )
        return {"kept": made.manifest.rows}

    return run


def group_by(folder: Path) -> Facts:
    """DuckDB's bare grouping by a hash of the text."""
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    connection.execute(
        f"select count(*) from (select min(id) from '{folder / 'text' / 'corpus.parquet'}' "
        "group by hash(text))"
    ).fetchall()
    return {}


def dedup(kind: str, *, near: bool, columns: list[str] | None) -> Callable[[Path], Facts]:
    """A job that dedups a corpus by its column `text`."""

    def run(folder: Path) -> Facts:
        from filters.database import Scratch
        from filters.dedup_file import dedup_file

        kept = folder / f"kept-{kind}.parquet"
        scratch = Scratch(folder / "scratch", "500MB", os.cpu_count() or 1)
        file = folder / kind / "corpus.parquet"
        dedup_file(file, kept, ["text"], scratch, near=near, columns=columns)
        return {"score": lambda: score(kept, folder / kind)}

    return run


@dataclass(frozen=True)
class Job:
    """Something to measure."""

    run: Callable[[Path], Facts]
    beside: str | None = None
    """The job whose CPU seconds this one's are divided by."""
    target: str = ""


def make_charts(folder: Path, count: int) -> None:
    """Charts, every other one differing from the one before in one bar, and copies of a tenth.

    images.json: {"charts": [sha256], "copies": [[how, sha256 of the copy, of the chart]]}
    """
    from tests.test_near_images import chart, drawn, encoded, scaled
    from vlt.images import ImageStore

    made: dict[str, Any] = {"charts": [], "copies": []}
    with ImageStore(folder / "images") as images:
        for number, values in enumerate(drawn(count)):
            picture = chart(values)
            name = images.add(encoded(picture))
            made["charts"].append(name)
            if number % 10:
                continue
            cropped = picture.crop((4, 3, picture.width - 4, picture.height - 3))
            for how, data in (
                ("jpeg 90", encoded(picture, "JPEG", quality=90)),
                ("jpeg 40", encoded(picture, "JPEG", quality=40)),
                ("half size", encoded(scaled(picture, 0.5))),
                ("3/4, jpeg 75", encoded(scaled(picture, 0.75), "JPEG", quality=75)),
                ("double size", encoded(scaled(picture, 2.0))),
                ("cropped by 2 %", encoded(cropped)),
            ):
                made["copies"].append([how, images.add(data), name])
    (folder / "images.json").write_text(json.dumps(made))


def near_images(folder: Path) -> Facts:
    """Charts and copies: recall by how they were copied, and pairs of charts taken for one."""
    from filters.near_images import same_pictures
    from vlt.images import ImageStore

    made = json.loads((folder / "images.json").read_text())
    charts = list(dict.fromkeys(made["charts"]))
    with ImageStore(folder / "images") as images:
        same = same_pictures(images, [*charts, *(copy for _, copy, _ in made["copies"])])
    found: dict[str, list[bool]] = {}
    for how, copy, chart in made["copies"]:
        found.setdefault(how, []).append(same[copy] == chart)
    wrong = sum(same[copy] not in (copy, chart) for _, copy, chart in made["copies"])
    return {
        "charts": len(charts),
        "false pairs of charts": sum(same[chart] != chart for chart in charts),
        "copies of another chart": wrong,
        "recall": {how: float(np.mean(each)) for how, each in found.items()},
    }


WORDS_REFLECTION_SELECT = ({"max_words": 500}, "truncate_reflections", {"select": "shortest"})
JOBS: dict[str, Job] = {
    "read and write": Job(read_and_write),
    "chain: words, reflection, select": Job(
        chain(*WORDS_REFLECTION_SELECT), "read and write", "3 x, 1.5 GB"
    ),
    "chain: + repetition, leakage": Job(
        chain("repetition", "leakage", *WORDS_REFLECTION_SELECT), "read and write", "8 x, 1.5 GB"
    ),
    "chain: dedup of items": Job(chain("dedup")),
    "group by hash": Job(group_by),
    "exact: ids": Job(dedup("text", near=False, columns=["id"]), "group by hash", "2 x, 0.6 GB"),
    "exact: whole rows": Job(dedup("text", near=False, columns=None)),
    "near: ids": Job(dedup("text", near=True, columns=["id"]), None, "100k: 8 s; 1M: 35 s, 2 GB"),
    "near: whole rows": Job(dedup("text", near=True, columns=None)),
    "near: images": Job(near_images, None, "recall 0.98, no false pair"),
    "near: templates": Job(dedup("templates", near=True, columns=["id"])),
}


def carry_out(name: str, folder: Path) -> None:
    """Run one job and print what it cost and found, as JSON."""
    started = time.monotonic()
    facts = JOBS[name].run(folder)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cost = {
        "cpu": round(usage.ru_utime + usage.ru_stime, 2),
        "wall": round(time.monotonic() - started, 2),
        "GB": round(usage.ru_maxrss / 1e6, 2),
    }
    found = {key: value() if callable(value) else value for key, value in facts.items()}
    print(json.dumps({**cost, "facts": found}))


def in_a_process(*arguments: str) -> str:
    """What this script prints when it is run with these arguments."""
    command = [sys.executable, "-m", "benchmarks.filters", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def prepare(folder: Path, rows: int) -> None:
    """Make the corpora that are not there yet; templates stay at 100,000 rows or fewer."""
    if not (folder / "workspace" / "datasets" / "samples").exists():
        make_samples(folder, rows)
    if not (folder / "images.json").exists():
        make_charts(folder, min(rows // 10, CHARTS))
    for kind, write, size in (
        ("text", free_text, rows),
        ("templates", template_text, min(rows, 100_000)),
    ):
        if not (folder / kind / "truth.parquet").exists():
            (folder / kind).mkdir(parents=True, exist_ok=True)
            write(size, folder / kind, np.random.default_rng(0))


def main() -> None:
    """Run the jobs and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/vlt-bench-filters"))
    parser.add_argument("--only", help="jobs whose name holds one of these, by comma")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        carry_out(given.job, given.folder)
        return
    if given.prepare:
        prepare(given.folder, given.rows)
        return
    folder = given.folder / str(given.rows)
    # In a process of its own: the peak memory of a child is never below what its parent held.
    in_a_process("--prepare", "--rows", str(given.rows), "--folder", str(folder))
    wanted = [n for n in JOBS if not given.only or any(w in n for w in given.only.split(","))]
    wanted = [n for n in JOBS if n in wanted or any(JOBS[w].beside == n for w in wanted)]
    print(f"{given.rows:,} rows")
    print(f"{'job':34} {'CPU s':>8} {'wall s':>8} {'GB':>6} {'ratio':>7}  target")
    cpu: dict[str, float] = {}
    for name in wanted:
        result = json.loads(in_a_process("--job", name, "--folder", str(folder)))
        cpu[name], job = result["cpu"], JOBS[name]
        ratio = f"{cpu[name] / cpu[job.beside]:.2f}" if job.beside else ""
        print(
            f"{name:34} {result['cpu']:8} {result['wall']:8} {result['GB']:6} {ratio:>7}  {job.target}"
        )
        if result["facts"]:
            print(f"    {json.dumps(result['facts'])}", flush=True)


if __name__ == "__main__":
    main()
