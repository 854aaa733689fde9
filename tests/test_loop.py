"""The loop on a small recipe with the miniature's real models: complete, repeated, edited, and killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli import run_vlt, vlt, vlt_error, vlt_json
from tests.small_recipe import write_small
from vlt.workspace.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """(recipe, workspace, output of `vlt run --json`) of a successful run."""
    home = tmp_path_factory.mktemp("loop")
    recipe = write_small(home / "small.yaml")
    return recipe, home / "workspace", vlt_json("run", recipe, "-w", home / "workspace")


def journalled(workspace: Path) -> int:
    with sqlite3.connect(workspace / "journal.sqlite") as connection:
        (count,) = connection.execute("SELECT count(*) FROM completions").fetchone()
    return int(count)


def check_conservation(workspace: Path) -> None:
    for version in Store(workspace).all():
        m = version.manifest
        if m.kind != "checkpoint":
            gone = sum(sum(reasons.values()) for reasons in m.dropped.values())
            assert m.rows_in == m.rows + gone + sum(m.failed.values()), version.ref


def test_two_rounds(done: tuple[Path, Path, Any]) -> None:
    _, workspace, result = done
    first, second = result["rounds"]
    assert (first["items"], first["captions"], first["samples"]) == (24, 24, 48)
    assert (second["items"], second["captions"], second["samples"]) == (24, None, 48)
    for row in result["rounds"]:
        assert row["kept"] <= row["verified"] <= row["samples"]
        for model in ("sft", "grpo"):
            score = row[model]
            assert score["n"] == 16
            assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
    check_conservation(workspace)


def test_lineage_is_the_papers(done: tuple[Path, Path, Any]) -> None:
    _, workspace, _ = done
    store = Store(workspace)
    base = store.open("sft-model@r1").manifest.parameters["model"]
    assert store.open("sft-model@r2").manifest.parameters["model"] == base
    for number in (1, 2):
        sft = store.open(f"sft-model@r{number}")
        grpo = store.open(f"grpo-model@r{number}")
        assert sft.ref in [parent.ref for parent in grpo.manifest.parents]
        assert grpo.manifest.parameters["model"] == {"digest": sft.manifest.digest}
    samples = store.open("samples@r2")
    assert samples.manifest.parameters["model"] == {
        "digest": store.open("grpo-model@r1").manifest.digest
    }
    assert "grpo-model@v1" in [parent.ref for parent in samples.manifest.parents]


def test_a_row_is_traced_to_its_image_caption_and_verdict(done: tuple[Path, Path, Any]) -> None:
    _, workspace, _ = done
    (row,) = vlt_json("show", "sft@r1", "-n", 1, "-w", workspace)
    steps = vlt_json("show", "sft@r1", "--id", row["id"], "-w", workspace)
    by_version = {step["version"].split("@")[0]: step for step in steps}
    assert set(by_version) == {"sft", "samples", "captions", "items", "items-all"}
    assert row["verdict"] == "correct"
    assert by_version["captions"]["caption"] == row["caption"]
    assert by_version["items"]["images"] == row["images"]
    assert [v["ref"] for v in vlt_json("log", "grpo-model@r2", "-w", workspace)][-1]


def test_again_is_nothing(done: tuple[Path, Path, Any]) -> None:
    recipe, workspace, _ = done
    before, asked = vlt_json("ls", "-w", workspace), journalled(workspace)
    again = run_vlt("run", recipe, "-w", workspace)
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    assert vlt_json("ls", "-w", workspace) == before
    assert journalled(workspace) == asked


def test_a_dry_run_says_what_is_there_and_makes_nothing(
    done: tuple[Path, Path, Any], tmp_path: Path
) -> None:
    recipe, workspace, _ = done
    before = vlt_json("ls", "-w", workspace)
    steps = vlt_json("run", recipe, "--dry-run", "-w", workspace)
    assert all(step["version"] for step in steps)
    assert {s["step"]: s["made_from"] for s in steps}["sft-model"] == ["sft@r2"]
    edited = vlt_json("run", recipe, "--dry-run", "--set", "rounds.1.rollouts.k=3", "-w", workspace)
    missing = [f"{s['step']}@r{s['round']}" for s in edited if not s["version"]]
    assert missing[0] == "samples@r2" and "sft@r2" in missing and "sft@r1" not in missing
    assert vlt_json("ls", "-w", workspace) == before
    nowhere = vlt_json("run", recipe, "--dry-run", "-w", tmp_path / "nowhere")
    assert not any(step["version"] for step in nowhere) and not (tmp_path / "nowhere").exists()


def test_an_arm_makes_only_what_differs(done: tuple[Path, Path, Any], tmp_path: Path) -> None:
    recipe, finished, _ = done
    workspace = tmp_path / "workspace"
    shutil.copytree(finished, workspace)
    arms = {"grpo-only": {"each_round": {"teacher": False, "sft": False}}}
    tree = {**yaml.safe_load(recipe.read_text()), "arms": arms}
    for settings in tree["rounds"]:  # without samples of its own a round has no pass rates
        settings["grpo"][0].pop("difficulty", None)
    with_arms = tmp_path / "arms.yaml"
    with_arms.write_text(yaml.safe_dump(tree))
    asked, before = journalled(workspace), {v.ref for v in Store(workspace).all()}
    at = ("-w", workspace)
    rows = vlt_json("run", with_arms, "--arm", "grpo-only", "--rounds", 1, *at)
    made = {v.ref for v in Store(workspace).all()} - before
    ours = {"grpo-model.grpo-only@v1", "eval-grpo.grpo-only@v1", "eval-grpo.grpo-only-answers@v1"}
    assert made == ours
    assert journalled(workspace) - asked == 16, "the answers of the one evaluation"
    (row,) = rows
    assert row["arm"] == "grpo-only" and row["accuracy"]["n"] == 16 and row["grpo_steps"] == 1
    assert row["completions"] == 8 and row["trained_tokens"] > 0
    both = vlt_json("compare", with_arms, *at)
    assert [r["arm"] for r in both] == ["loop", "grpo-only"]
    again = run_vlt("run", with_arms, "--arm", "grpo-only", "--rounds", 1, *at)
    assert "nothing to do" in again.stderr


def test_an_edited_filter_runs_what_depends_on_it(
    done: tuple[Path, Path, Any], tmp_path: Path
) -> None:
    recipe, workspace, _ = done
    asked = journalled(workspace)
    tree = yaml.safe_load(recipe.read_text())
    tree["filters"] = [*tree["filters"], {"max_words": 400}]
    edited = tmp_path / "small.yaml"
    edited.write_text(yaml.safe_dump(tree))
    vlt("run", edited, "--rounds", 1, "--until", "sft", "-w", workspace)
    names = [f"{row['name']}@v{row['version']}" for row in vlt_json("ls", "-w", workspace)]
    assert "sft@v3" in names
    assert "samples@v3" not in names
    assert journalled(workspace) == asked


def test_bad_words(done: tuple[Path, Path, Any], tmp_path: Path) -> None:
    recipe, workspace, _ = done
    assert "'nonsense' is not a step" in vlt_error(
        "run", recipe, "--until", "nonsense", "-w", workspace, code=2
    )
    bad = tmp_path / "bad.yaml"
    bad.write_text(recipe.read_text() + "\ncolour: red\n")
    assert "unknown key 'colour'" in vlt_error("run", bad, "-w", workspace, code=2)


def test_killed_at_any_moment_it_goes_on(done: tuple[Path, Path, Any], tmp_path: Path) -> None:
    recipe, workspace = write_small(tmp_path / "small.yaml"), tmp_path / "workspace"
    command = [sys.executable, "-m", "vlt.cli.main", "run", str(recipe), "-w", str(workspace)]
    kills = 0
    for name in ("captions", "samples", "sft-model", "eval-sft-answers", "grpo-model"):
        child = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        # The stage's folder appears when the stage begins; a moment later it is in its middle.
        folders = [workspace / "datasets" / name, workspace / "checkpoints" / name]
        waited = time.monotonic()
        while child.poll() is None and not any(f.exists() for f in folders):
            assert time.monotonic() - waited < 300
            time.sleep(0.02)
        time.sleep(1.5)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.wait()
        check_conservation(workspace)
    assert kills >= 3
    had = journalled(workspace)
    result = vlt_json("run", recipe, "-w", workspace)
    assert len(result["rounds"]) == 2
    assert journalled(workspace) >= had
    check_conservation(workspace)
    asked = journalled(workspace)
    # What had arrived before a kill was not asked for again, and nothing is there twice: the count
    # is that of a run that nobody killed.
    assert asked == journalled(done[1])
    assert vlt_json("run", recipe, "-w", workspace)["rounds"] == result["rounds"]
    assert journalled(workspace) == asked


def test_interrupted_and_two_at_once(tmp_path: Path) -> None:
    recipe, workspace = write_small(tmp_path / "small.yaml"), tmp_path / "workspace"
    command = [sys.executable, "-m", "vlt.cli.main", "run", str(recipe), "-w", str(workspace)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    folder = workspace / "checkpoints" / "sft-model"
    waited = time.monotonic()
    while not folder.exists():
        assert time.monotonic() - waited < 300
        assert first.poll() is None
        time.sleep(0.02)
    sentence = vlt_error("run", recipe, "-w", workspace)
    assert f"written by another vlt (process {first.pid} on " in sentence
    first.send_signal(signal.SIGINT)
    assert first.stderr is not None
    words = first.stderr.read()
    assert first.wait(timeout=60) == 130
    assert words.strip().splitlines()[-1].startswith("vlt: interrupted; the same command resumes")
    assert "Traceback" not in words
    vlt("run", recipe, "--rounds", 1, "--until", "sft-model", "-w", workspace)
    check_conservation(workspace)
