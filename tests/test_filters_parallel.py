"""The same version, row for row, however many processes worked on it; and no process left behind."""

from __future__ import annotations

import json
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from tests.pools import at_once
from tests.processes import alive, wait_for
from tests.rows import dataset, item, sample
from tests.test_near_images import chart, copies, encoded
from vlt.errors import UserError
from vlt.filters.apply import make_filtered
from vlt.filters.duckdb_scratch import Scratch
from vlt.filters.duplicates.file import dedup_file
from vlt.filters.registry import FILTERS, parse_chain, parse_filter
from vlt.filters.rules.max_tokens import MaxTokens
from vlt.filters.stats import dataset_stats
from vlt.plugins import travels
from vlt.workspace.flags import Flag, Flags
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

ITEMS = 60
QUESTION = "How many of the {} coloured marbles in the big bag are red, if every {} one is?"
CHAINS: dict[str, list[Any]] = {
    "responses": [
        "verify",
        {"finish_reason": "stop"},
        "not_cut",
        "max_words",
        "truncate_reflections",
        "repetition",
        "leakage",
        "format",
        "disagreement",
        "language",
        {"select": "distinct"},
    ],
    "items": [
        "grade",
        {"difficulty": "0.1:0.9"},
        "correct",
        "flagged",
        {"where": "completion_tokens > 4"},
        "dedup",
        {"leakage": "rewrite"},
        {"mixture": {"one": 11}},
    ],
    "near": [
        {"near_dedup": {"images": "near", "keep": "shortest"}},
        {"decontaminate": {"against": "bench", "ngram": 4}},
        "{mine}:seldom",
    ],
}
ELSEWHERE = {"max_tokens"}
"""It needs a model: see below."""
MINE = """
import time

def seldom(row, letter="7"):
    if row["sample"] == 3 and row["source"] == "two":
        raise KeyError(row["id"])
    return letter not in row["id"][:3] or "seldom"

def slow(row):
    time.sleep(0.02)
    return True
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with samples, some of all that filters take out, and a benchmark; and mine.py."""
    root = tmp_path_factory.mktemp("parallel")
    (root / "mine.py").write_text(MINE)
    workspace = Workspace(root / "workspace")
    with workspace.images as images:
        pictures = [images.add(encoded(chart([n, 95 - n, 50]))) for n in range(10, 80, 5)]
        copied = [images.add(data) for data in copies(chart([10, 85, 50]))]
    rows: list[dict[str, Any]] = []
    for n in range(ITEMS):
        of = item(
            QUESTION.format(n % 40, n % 7) if n % 3 else f"Another question, number {n % 50}",
            str(n % 5),
            images=[(pictures + copied)[n % (len(pictures) + len(copied))]],
            source="one two".split()[n % 2],
        )
        for k in range(4):
            said = n % 5 if (n + k) % 3 else n % 5 + 1
            thought = "I count them. " + "Wait, again. " * (n % 4 == 1) + "So many. " * (n % 7)
            thought += "The caption says it. " * (n % 11 == 2) + "因此如此。" * (n % 13 == 4)
            end = "" if (n + k) % 17 == 3 else f"</think> <answer>{said}</answer>"
            reason = "length" if (n + k) % 19 == 5 else "stop"
            rows.append(sample(f"<think>{thought}{n} {k}{end}", k, of, finish_reason=reason))
    dataset(workspace, "samples", "sample", rows)
    held = [item(QUESTION.format(7, 0)), item("Is it so?", images=[copied[1]])]
    dataset(workspace, "bench", "item", held)
    Flags(workspace.root).put(Flag(rows[40]["id"], None, None, "flag", "odd"))
    return root


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks, and processes start however little is left to do."""
    at_once(monkeypatch)
    monkeypatch.setattr("vlt.filters.apply.BATCH", 16)


def filtered(folder: Path, chain: list[Any], name: str, processes: int) -> Dataset:
    named = json.loads(json.dumps(chain).replace("{mine}", str(folder / "mine.py")))
    with Workspace(folder / "workspace") as opened:
        samples = opened.open("samples")
        made, existed = make_filtered(opened, samples, chain=named, name=name, processes=processes)
    assert not existed
    return made


def told(version: Dataset) -> dict[str, Any]:
    """The manifest, without names and times."""
    manifest = asdict(version.manifest)
    return {k: v for k, v in manifest.items() if k not in ("name", "created", "seconds")}


@pytest.mark.parametrize("name", CHAINS)
def test_the_same_version_with_one_two_and_three(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = filtered(folder, CHAINS[name], f"{name}-1", 1)
    assert len(first)
    assert len(first.dropped)
    asked = count_questions(monkeypatch)
    for processes in (2, 3):
        other = filtered(folder, CHAINS[name], f"{name}-{processes}", processes)
        assert json.dumps(told(other)) == json.dumps(told(first)), (
            "the order in it is the same, too"
        )
        assert other.table().equals(first.table())
        assert other.dropped.table().equals(first.dropped.table())
    assert len(asked) > 5


@pytest.mark.parametrize("name", CHAINS)
def test_no_file_is_mapped_when_the_scratch_folder_goes(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS keeps a mapped file, and so its folder cannot be removed."""
    mapped: list[str] = []
    rmtree = shutil.rmtree

    def removed(path: Path, **options: Any) -> None:
        maps = Path("/proc/self/maps").read_text().splitlines()
        mapped.extend(line for line in maps if str(path) in line)
        rmtree(path, **options)

    monkeypatch.setattr(shutil, "rmtree", removed)
    filtered(folder, CHAINS[name], f"{name}-gone", 1)
    assert not mapped


def count_questions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each question to another process."""
    from vlt.worker_process import WorkerProcess

    asked: list[int] = []
    plain = WorkerProcess.ask

    def ask(self: WorkerProcess, question: bytes, seconds: float | None = None) -> bytes:
        asked.append(len(question))
        return plain(self, question, seconds)

    monkeypatch.setattr(WorkerProcess, "ask", ask)
    return asked


def test_the_same_statistics(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same clusters of near duplicates in a file."""
    monkeypatch.setattr("vlt.filters.stats.PIECE", 16)
    monkeypatch.setattr("vlt.filters.duplicates.file.BATCH", 16)
    monkeypatch.setattr("vlt.filters.duplicates.file_texts.BATCH", 16)
    samples = Workspace(folder / "workspace").open("samples")
    found, deduped = [], []
    asked = count_questions(monkeypatch)
    for processes in (1, 2, 3):
        monkeypatch.setenv("VLT_PROCESSES", str(processes))
        found.append(json.dumps(dataset_stats(samples)))
        to, gone = folder / f"to-{processes}.parquet", folder / f"gone-{processes}.parquet"
        scratch = Scratch(folder / f"scratch-{processes}", threads=processes)
        dedup_file(samples.files[0], to, ["question"], scratch, near=True, dropped=gone)
        deduped.append((pq.read_table(to), pq.read_table(gone)))
        assert (len(asked) > 5) == (processes > 1)
    assert found[0] == found[1] == found[2]
    assert deduped[0] == deduped[1] == deduped[2]
    assert len(deduped[0][1])


def test_every_filter_goes_to_other_processes() -> None:
    """Those of the chains above do; a newer one must at least be such as can go there."""
    chained = {filter.name for chain in CHAINS.values() for filter in parse_chain(chain[:-1])}
    chained |= {"select", "mixture"}
    needs = {"judged": "sound", "needs_image": "blind", "sufficient": "graded"}
    for name in set(FILTERS) - chained - ELSEWHERE:
        entry = {name: needs[name]} if name in needs else name
        assert travels(parse_filter(entry)) is not None, name


def test_tokens_are_counted_there_as_here(folder: Path, tmp_path: Path) -> None:
    from tests.tiny import tiny_vlm

    model = tiny_vlm(tmp_path / "model")
    with Workspace(folder / "workspace") as opened:
        samples = opened.open("samples")
        here = MaxTokens(tokens=60, model=str(model)).prepared(opened, [samples])
        packed = travels(here)
        assert packed is not None
        rows = next(samples.batches(size=20))
        there = pickle.loads(packed).judge(rows)
        assert (there.keep == here.judge(rows).keep).all()


def test_a_stateful_function_sees_all_rows_in_order(folder: Path) -> None:
    (folder / "counts.py").write_text(
        "import vlt\nseen = []\n"
        "@vlt.filter(stateful=True)\n"
        "def every_other(row):\n    seen.append(row['id'])\n    return len(seen) % 2 == 0\n"
    )
    chain = [{"finish_reason": "any"}, f"{folder / 'counts.py'}:every_other"]
    made = filtered(folder, chain, "counted", 3)
    assert made.manifest.dropped == {"every_other": {"rejected": 2 * ITEMS}}


def test_an_error_in_another_process_is_the_same_sentence(folder: Path) -> None:
    (folder / "bad.py").write_text(
        "def bad(row):\n    return 7 if row['sample'] == 2 and 'number 45' in row['question'] else True\n"
    )
    said = []
    for processes in (1, 3):
        with pytest.raises(UserError) as raised:
            filtered(folder, [f"{folder / 'bad.py'}:bad"], "bad", processes)
        said.append(str(raised.value))
    assert said[0] == said[1]
    assert "returned 7 (of type int) for the row" in said[0]
    with Workspace(folder / "workspace") as opened:
        assert opened.versions("bad") == []


COMMAND = """
import vlt.filters.apply
from tests.pools import at_once
from vlt.cli.main import main
vlt.filters.apply.BATCH = 8
at_once()
main()
"""


def started(folder: Path, name: str) -> tuple[psutil.Popen, list[int]]:
    """A filter that works in three processes, and the other two."""
    command = psutil.Popen(
        [
            *(sys.executable, "-c", COMMAND, "filter", "samples", "--as", name, "--processes", "3"),
            *("--filter", f"{folder / 'mine.py'}:slow", "-w", folder / "workspace"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(command.children()) == 2)
    pids = [child.pid for child in command.children()]
    wait_for(lambda: all(psutil.Process(pid).cpu_times().user > 0.2 for pid in pids))
    return command, pids


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_filter_that_is_ended_leaves_nothing(how: signal.Signals, folder: Path) -> None:
    name = f"ended-{how.name}".lower()
    command, pids = started(folder, name)
    command.send_signal(how)
    _, said = command.communicate(timeout=30)
    if how is signal.SIGINT:
        assert command.returncode == 130
        assert said.strip().endswith("asks for nothing twice")
    wait_for(lambda: not any(map(alive, pids)), 30)
    with Workspace(folder / "workspace") as opened:
        assert opened.versions(name) == []
        made, _ = make_filtered(opened, opened.open("samples"), chain=["dedup"], name=name)
        left = [path.name for path in (opened.root / "datasets" / name).iterdir()]
    assert made.ref == f"{name}@v1"
    assert sorted(left) == [".lock", "v1"], "what the killed one had built is gone"


def test_a_killed_process_costs_nothing(folder: Path) -> None:
    command, pids = started(folder, "killed")
    psutil.Process(pids[0]).kill()
    command.communicate(timeout=60)
    assert command.returncode == 0
    made = Workspace(folder / "workspace").open("killed")
    samples = Workspace(folder / "workspace").open("samples")
    whole = [row["response"] for row in samples.rows() if row["finish_reason"] == "stop"]
    assert made.table()["response"].to_pylist() == whole
