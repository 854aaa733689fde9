"""The progress that stages report: imports with their total, trainings each step."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.imported import make_items
from tests.layout_files import lines, pictures
from vlt.datagen.tally import Tally
from vlt.train import callbacks, launch
from vlt.train.callbacks import write_progress
from vlt.workspace import progress
from vlt.workspace.progress import (
    StageProgress,
    begin_part,
    has_basis,
    listening,
    report_progress,
    tracked,
)
from vlt.workspace.store import Store


@pytest.mark.parametrize(
    ("settings", "total"), [({}, 90), ({"limit": 70}, 70), ({"sample": 40}, 40)]
)
def test_an_import_knows_its_total(
    settings: dict[str, Any], total: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlt.datagen.sources.intake.REPORT_SECONDS", 0)
    paths = pictures(tmp_path)
    rows = [{"question": f"{n}?", "answer": n, "image": paths[n % 3]} for n in range(90)]
    (tmp_path / "rows.jsonl").write_text(lines(rows))
    heard: list[tuple[str, int, int | None]] = []

    def hear(stage: StageProgress | None) -> None:
        if stage:
            heard.append((stage.stage, stage.done, stage.total))

    with listening("import", hear):
        make_items(Store(tmp_path / "w"), str(tmp_path / "rows.jsonl"), **settings)
    assert {stage for stage, _, _ in heard} == {"import"}
    assert {wanted for _, _, wanted in heard} == {total}
    done = [number for _, number, _ in heard]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (1, total)


def test_a_training_tells_its_steps_between_two_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "STEP_SECONDS", 0)
    file = tmp_path / "progress.jsonl"
    told = write_progress(file)
    state = SimpleNamespace(global_step=0, max_steps=40, is_world_process_zero=True)
    told.on_train_begin(None, state, None)
    state.global_step = 1
    told.on_step_end(None, state, None)
    told.on_log(None, state, None, logs={"loss": 0.5})
    monkeypatch.setattr(callbacks, "STEP_SECONDS", 60)
    told.on_step_end(None, state, None)
    state.is_world_process_zero = False
    told.on_log(None, state, None, logs={"loss": 0.1})
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"step": 0, "total": 40},
        {"step": 1, "total": 40},
        {"step": 1, "total": 40, "loss": 0.5},
    ]


CHILD = """
import sys, time
with open(sys.argv[1], "a") as told:
    for step, more in ((0, ""), (1, ', "loss": 0.5'), (2, "")):
        print('{"step": %d, "total": 4%s}' % (step, more), file=told, flush=True)
        time.sleep(0.6)
"""


def test_who_started_the_training_tells_them_on_with_the_last_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "BASIS_SECONDS", 0.1)
    state = tmp_path / "progress.jsonl"
    state.write_text("")
    said: list[str] = []
    heard: list[tuple[int, int | None, bool]] = []

    def hear(stage: StageProgress | None) -> None:
        if stage:
            heard.append((stage.done, stage.total, stage.left is not None))

    with listening("train sft", hear):
        report_progress(8, 8)  # the export
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(state)])
        launch._watch(child, state, "train sft", None, said.append)
    assert said[0] == "train sft: starting"
    assert said[-1].startswith("train sft: step 2/4 · loss 0.500 · ")
    assert (0, None, False) in heard
    assert heard[-1] == (2, 4, True)


def test_a_listener_hears_the_innermost_stage_and_its_end(tmp_path: Path) -> None:
    heard: list[str | None] = []
    with listening("outer", lambda p: heard.append(p.line if p else None)):
        report_progress(1, 4, "rows", 2.0)
        with tracked(tmp_path, "x", "sample", "inner"):
            report_progress(3, None, "samples", 0)
            begin_part("steps")
    report_progress(9)
    assert heard == ["outer: 1/4 rows, 2/s", "inner: 3 samples", "inner: 0 steps", None, None]


def test_the_time_left_is_told_once_it_has_a_basis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows, samples and steps alike: a moment's work says nothing, nor do a few rows of many."""
    now = 1_000.0
    monkeypatch.setattr(progress.time, "time", lambda: now)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    heard: list[StageProgress] = []
    with listening("filter", lambda p: heard.append(replace(p)) if p else None):
        for seconds, done in [(0.01, 500), (5, 500), (10, 1_000), (20, 2_000)]:
            now = 1_000 + seconds
            report_progress(done, 50_000)
    assert [p.left for p in heard] == [None, None, 490, 480]
    assert heard[0].line == "filter: 500/50,000 rows"
    assert heard[-1].line == "filter: 2,000/50,000 rows, 100/s"
    assert not has_basis(30, 0.01) and has_basis(60, 0.0001)

    now = 1_000.0
    tally = Tally(100, started=now)
    tally.arrived, now = 10, 1_000.5
    assert "left" not in tally.line()
    now = 1_010.0
    assert tally.line().endswith("1.0/s, 0 tokens/s, 1 min 30 s left")
    tally.arrived, now = 1, 1_300.0  # the first of long answers, after a slow start
    assert "left" not in tally.line()


def test_a_notebooks_bar_is_gone_when_the_stage_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last news was of 1 in 60, tqdm would keep it there, in red."""
    import tqdm.auto
    import tqdm.notebook

    from vlt.api import bar

    monkeypatch.setattr(tqdm.auto, "tqdm", tqdm.notebook.tqdm)
    monkeypatch.setattr(
        bar, "current_progress", lambda: SimpleNamespace(total=60, done=1, left=None)
    )
    shown = bar.Bar()
    shown("1/60 samples")
    container = shown._bar.container
    _, widget, words = container.children
    assert (widget.value, widget.max) == (1, 60) and "█" not in words.value
    shown.hear(None)
    assert container.comm is None and widget.bar_style != "danger"
