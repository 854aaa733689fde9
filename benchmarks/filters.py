"""What filters and dedup cost, compared with the minimum of unavoidable work.

    python -m benchmarks.filters                    # 100,000 rows: about five minutes on two cores
    python -m benchmarks.filters --rows 1000000     # the size that the targets refer to
    python -m benchmarks.filters --memory 100MB --only spill
    python -m benchmarks.filters --only chain,near
    python -m benchmarks.filters --rows 300000 --only parallel    # one process compared with all cores

Every job is a separate process; CPU seconds (user + system, of all its threads, including start-up and
imports) and peak memory are the kernel's. Corpora are made once and kept in --folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain as joined
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.corpus import score
from benchmarks.filter_corpora import EXPORTED, HELD_OUT, TEXTS, prepare
from benchmarks.parallel import beside_one
from vlt.cores import processes
from vlt.workspace.store import Store

MEMORY = os.environ.get("VLT_BENCH_MEMORY", "500MB")
"""DuckDB's limit; set by --memory."""
Facts = dict[str, Any]
"""What a job found; values that are functions are called after the job has been measured."""


def read_and_write(folder: Path) -> Facts:
    """Read and write the samples with pyarrow only, as the store writes them."""
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
        from vlt.filters.apply import make_filtered

        store = Store(folder / "workspace")
        shutil.rmtree(store.folder("sample") / "filtered", ignore_errors=True)
        made, _ = make_filtered(
            store, store.open("samples"), chain=filters, name="filtered", memory=MEMORY
        )
        return {"kept": made.manifest.rows}

    return run


def statistics(folder: Path) -> Facts:
    """Compute the statistics of `vlt stats`."""
    from vlt.filters.stats import dataset_stats

    dataset_stats(Store(folder / "workspace").open("samples"))
    return {}


def spilling(folder: Path) -> Facts:
    """Exact dedup of all samples by question and response in DuckDB, which must spill to disk.

    The keys are the texts themselves, which do not fit into the memory allowed.
    """
    from vlt.filters.duckdb_scratch import Scratch

    files = Store(folder / "workspace").open("samples").files
    scratch = Scratch(folder / "scratch", MEMORY, processes())
    with scratch.connect() as connection, Spilled(scratch.folder) as spilled:
        distinct = connection.execute(
            "select count(*) from (select question, response from read_parquet(?) group by all)",
            [[str(file) for file in files]],
        ).fetchone()[0]
    return {"distinct": distinct, "spilled GB": round(spilled.most / 1e9, 2)}


class Spilled:
    """Watches the size of a folder while the body runs."""

    def __init__(self, folder: Path):
        self.most, self._folder, self._over = 0, folder, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Spilled:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            with contextlib.suppress(FileNotFoundError):  # DuckDB removes its files
                sizes = [f.stat().st_size for f in self._folder.rglob("*") if f.is_file()]
                self.most = max(self.most, sum(sizes))


def group_by(folder: Path) -> Facts:
    """DuckDB grouping by a hash of the text, and nothing else."""
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
        from vlt.filters.duckdb_scratch import Scratch
        from vlt.filters.duplicates.file import dedup_file

        kept = folder / f"kept-{kind}.parquet"
        scratch = Scratch(folder / "scratch", MEMORY, processes())
        file = folder / kind / "corpus.parquet"
        dedup_file(file, kept, ["text"], scratch, near=near, columns=columns)
        return {"score": lambda: score(kept, folder / kind)}

    return run


@dataclass(frozen=True)
class Job:
    """Something to measure."""

    run: Callable[[Path], Facts]
    baseline: str | None = None
    """The job that this one's CPU seconds are divided by."""
    target: str = ""


def near_images(folder: Path) -> Facts:
    """For each group of images: recall by kind of copy, and false pairs.

    `least apart` and `most apart` are the margins around the limit on brightness: between an image and
    its changed twin, and between an image and its copies (except cropped ones).
    """
    from vlt.filters.duplicates.near_images import same_pictures
    from vlt.images.store import ImageStore

    facts: Facts = {}
    with ImageStore(folder / "images") as images:
        for group in json.loads((folder / "images.json").read_text()):
            names = list(dict.fromkeys(group["names"]))
            same = same_pictures(images, [*names, *(copy for _, copy, _ in group["copies"])])
            found: dict[str, list[bool]] = {}
            for how, copy, name in group["copies"]:
                found.setdefault(how, []).append(same[copy] == same[name])
            crops = found.pop("cropped by 2 %")
            wrong = sum(same[copy] not in (copy, name) for _, copy, name in group["copies"])
            facts[group["group"]] = {
                "pictures": len(names),
                "false pairs": sum(same[name] != name for name in names) + wrong,
                "recall": round(float(np.mean(list(joined.from_iterable(found.values())))), 4),
                "worst": min((round(float(np.mean(each)), 4), how) for how, each in found.items()),
                "crops": round(float(np.mean(crops)), 4),
                **margins(images, group),
            }
    return facts


def margins(images: Any, group: dict[str, Any]) -> dict[str, float]:
    """The distances in brightness (of 255) of copies and of changed images."""
    from vlt.filters.duplicates.near_images import apart_stored

    true = [(a, b) for how, a, b in group["copies"] if not how.startswith("crop")][:500]
    pairs = list(zip(group["names"][::2], group["names"][1::2], strict=False))[:500]
    changed = [pair for pair in pairs if pair[0] != pair[1]]
    return {
        "most apart": round(max(apart_stored(images, *pair)[0] for pair in true), 1),
        "least apart": round(min(apart_stored(images, *pair)[0] for pair in changed), 1),
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
    "spill: texts grouped": Job(spilling, None, "finishes"),
    "group by hash": Job(group_by),
    "exact: ids": Job(dedup("text", near=False, columns=["id"]), "group by hash", "2 x, 0.6 GB"),
    "exact: whole rows": Job(dedup("text", near=False, columns=None)),
    "near: ids": Job(dedup("text", near=True, columns=["id"]), None, "100k: 8 s; 1M: 35 s, 2 GB"),
    "near: whole rows": Job(dedup("text", near=True, columns=None)),
    "near: images": Job(near_images, None, "recall 0.98, no false pair"),
    "near: templates": Job(dedup("templates", near=True, columns=["id"])),
}


def exported(folder: Path) -> Facts:
    """Write the samples without images as JSONL."""
    from vlt.datagen.export.files import write_jsonl
    from vlt.images.store import ImageStore

    store = Store(folder / "workspace")
    with ImageStore(store.images_folder, read_only=True) as images:
        write_jsonl(store.open(TEXTS), images, folder / EXPORTED / str(os.getpid()))
    return {}


PARALLEL = {
    "verify": chain("verify"),
    "words, reflection, select": chain(*WORDS_REFLECTION_SELECT),
    "repetition, near dedup": chain("repetition", "near_dedup"),
    "near: ids": dedup("text", near=True, columns=["id"]),
    "decontaminate": chain({"decontaminate": {"against": HELD_OUT, "images": "same"}}),
    "stats": statistics,
    "export": exported,
}
"""Jobs that are run in one process, and in as many as there are cores."""


def carry_out(name: str, folder: Path) -> None:
    """Run one job and print what it cost and found, as JSON."""
    started = time.monotonic()
    facts = (JOBS[name].run if name in JOBS else PARALLEL[name])(folder)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {
        "cpu": round(sum(u.ru_utime + u.ru_stime for u in (usage, children)), 2),
        "wall": round(time.monotonic() - started, 2),
        "GB": round(peak_memory(), 2),
    }
    found = {key: value() if callable(value) else value for key, value in facts.items()}
    print(json.dumps({**cost, "facts": found}))


def peak_memory() -> float:
    """Of this process, in GB; VmHWM is reset by exec, unlike ru_maxrss."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e6


def in_a_process(*arguments: str) -> str:
    """The output of this script when run with these arguments."""
    command = [sys.executable, "-m", "benchmarks.filters", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Run the jobs and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/vlt-bench-filters"))
    parser.add_argument("--only", help="jobs whose names contain one of these, separated by commas")
    parser.add_argument("--memory", default=MEMORY, help="DuckDB's limit, e.g. 500MB")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        carry_out(given.job, given.folder)
        return
    if given.prepare:
        prepare(given.folder, given.rows)
        return
    os.environ["VLT_BENCH_MEMORY"] = given.memory
    folder = given.folder / str(given.rows)
    # In a separate process: the peak memory of a child is never below what its parent had.
    in_a_process("--prepare", "--rows", str(given.rows), "--folder", str(folder))
    wanted = [n for n in JOBS if not given.only or any(w in n for w in given.only.split(","))]
    wanted = [n for n in JOBS if n in wanted or any(JOBS[w].baseline == n for w in wanted)]
    print(f"{given.rows:,} rows, DuckDB with {given.memory}")
    print(f"{'job':34} {'CPU s':>8} {'wall s':>8} {'GB':>6} {'ratio':>7}  target")
    cpu: dict[str, float] = {}
    for name in wanted:
        result = json.loads(in_a_process("--job", name, "--folder", str(folder)))
        cpu[name], job = result["cpu"], JOBS[name]
        ratio = f"{cpu[name] / cpu[job.baseline]:.2f}" if job.baseline else ""
        print(
            f"{name:34} {result['cpu']:8} {result['wall']:8} {result['GB']:6} {ratio:>7}  {job.target}"
        )
        if result["facts"]:
            print(f"    {json.dumps(result['facts'])}", flush=True)
    if not given.only or "parallel" in given.only:
        beside_one("benchmarks.filters", list(PARALLEL), ["--folder", str(folder)])


if __name__ == "__main__":
    main()
