"""Recipes that leave parts out, as arms of one on the miniature: run, killed, resumed and reported."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli import vlt, vlt_json
from vlt.runs.recipe import BUNDLED
from vlt.workspace.store import Store

pytestmark = pytest.mark.slow

ITEMS, K, HELD_OUT = 16, 4, 8
MINE = """\
def short(row):
    return len(row["response"]) < 2000


def brief(completions, **columns):
    return [1.0 / (1 + len(c[-1]["content"])) for c in completions]
"""
STEP = {"max_steps": 1, "per_device_train_batch_size": 4}


def source(n: int, seed: int, split: str) -> dict[str, Any]:
    families = {"shapes-count": 1, "table-over": 1, "bars-over": 1}
    settings = {"n": n, "split": split, "seed": seed, "families": families}
    return {"source": "miniature", "settings": settings}


def recipe() -> dict[str, Any]:
    """A VLM that sees the images teaches SFT: without captions and without GRPO."""
    vlm, reasoner = (str((BUNDLED / "miniature" / name).resolve()) for name in ("vlm", "reasoner"))
    return {
        "name": "mine",
        "seed": 1,
        "models": {
            "base": {"model": vlm, "engine": "local"},
            "reasoner": {"model": reasoner, "engine": "local"},
        },
        "prompts": {
            "rollout": "{question} Think first.",
            "reasoning": "{caption} {question} Think first.",
        },
        "heldout": {
            "items": [source(HELD_OUT, 100, "heldout")],
            "draw": {"max_tokens": 48, "stop": ["</answer>"]},
            "base": False,
        },
        "rollouts": {"k": K, "temperature": 1.0, "max_tokens": 48},
        "reasoning": {"k": K, "temperature": 1.0, "max_tokens": 64},
        "filters": ["verify", "./mine.py:short", {"select": "shortest"}],
        "sft": {"freeze": ["vision_tower"], "settings": STEP},
        "rounds": [{"teacher": "base", "items": [source(ITEMS, 11, "train")]}],
    }


GRPO = {**STEP, "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 24}
ARMS: dict[str, Any] = {
    "grpo-only": {
        "each_round": {
            "sft": False,
            "teacher": False,
            "grpo": [
                {"train": {"reward": {"accuracy": 1.0, "./mine.py:brief": 0.1}, "settings": GRPO}}
            ],
        }
    },
    "dpo": {"each_round": {"sft": False, "dpo": [{"train": {"settings": STEP}}]}},
    "own-captions": {
        "rounds": [
            {
                "teacher": "reasoner",
                "items": [{"source": "./mine/metadata.jsonl", "kind": "captions"}],
            }
        ]
    },
}


def journalled(workspace: Path) -> int:
    with sqlite3.connect(workspace / "journal.sqlite") as connection:
        (count,) = connection.execute("SELECT count(*) FROM completions").fetchone()
    return int(count)


def refs(workspace: Path) -> set[str]:
    return {version.ref for version in Store(workspace).all()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the user's own functions and captions."""
    import vlt as api

    folder = tmp_path_factory.mktemp("arms")
    (folder / "mine.py").write_text(MINE)
    with api.Workspace(folder / "scratch") as ws:
        items = ws.import_items("miniature", settings=source(ITEMS, 12, "train")["settings"])
        model = api.Model(str((BUNDLED / "miniature" / "vlm").resolve()))
        captions = ws.caption(items, model, prompt="Describe the picture.", max_tokens=40)
        ws.export(captions, folder / "mine", "jsonl")
    return folder


@pytest.mark.timeout(1800)  # a minute of CPU; what else runs on the machine takes its part
def test_arms_of_a_finished_run(home: Path) -> None:
    """What exists is not made or asked again; a killed `--arms` run resumes."""
    file, at = home / "recipe.yaml", ("-w", home / "workspace")
    tree = recipe()
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
    vlt("run", file, *at)
    workspace = home / "workspace"
    alone, asked = refs(workspace), journalled(workspace)
    assert asked == ITEMS * K + HELD_OUT
    assert not any("captions" in ref or "grpo" in ref for ref in alone)

    file.write_text(yaml.safe_dump({**tree, "arms": ARMS}, sort_keys=False))
    command = [sys.executable, "-m", "vlt.cli.main", "run", str(file), "--arms", *map(str, at)]
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    waited = time.monotonic()
    while not (workspace / "checkpoints" / "grpo-model.grpo-only").exists():
        assert child.poll() is None and time.monotonic() - waited < 300
        time.sleep(0.1)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    state = vlt_json("status", *at)
    assert (state["run"]["arm"], state["run"]["state"]) == ("grpo-only", "stopped")
    told = {row["arm"]: row["state"] for row in state["arms"]}
    assert told["loop, seed 1"] == "done" and told["dpo, seed 1"] == "waiting"

    rows = vlt_json("run", file, "--arms", *at)
    made = refs(workspace) - alone
    assert {ref.partition("@")[0] for ref in made if "eval" not in ref} == {
        "grpo-model.grpo-only",
        "dpo-model.dpo",
        *(f"{name}.own-captions" for name in ("items-all", "items", "samples", "sft", "sft-model")),
    }
    assert alone <= refs(workspace)
    # The answers of three evaluations, and the samples of captions that nobody had: no request for
    # what the arms share.
    assert journalled(workspace) - asked == 3 * HELD_OUT + ITEMS * K
    assert [row["arm"] for row in rows] == ["loop", *ARMS]
    check_told(rows, file, at, home)


def check_told(rows: list[dict[str, Any]], file: Path, at: tuple[Any, ...], home: Path) -> None:
    """The arms compared: in the table, the report, the status and the log."""
    by_arm = {row["arm"]: row for row in rows}
    assert all(row["accuracy"]["n"] == HELD_OUT for row in rows)
    assert by_arm["loop"]["against"] is None and by_arm["dpo"]["against"]["n"] == HELD_OUT
    assert by_arm["grpo-only"]["grpo_steps"] == 1 and by_arm["grpo-only"]["completions"] == 8
    assert by_arm["grpo-only"]["planned"]["completions"] == 8
    assert by_arm["dpo"]["grpo_steps"] == 0 and by_arm["dpo"]["trained_tokens"] > 0
    assert all(row["alone"] is not None and row["response_length"] > 0 for row in rows)
    again = vlt("compare", file, "dpo", "loop", *at)
    assert "dpo against loop" not in again and "loop against dpo" in again
    dry = vlt("run", file, "--arms", "--dry-run", *at)
    assert "grpo-only, seed 1, planned" in dry and "grpo-only, seed 1, spent" in dry
    vlt("report", "mine", "--to", home / "report.html", *at)
    from tests.report_page import Page

    page = Page((home / "report.html").read_text())
    table = page.table("solves alone")
    assert [row["arm"] for row in table] == ["loop", "dpo", "grpo-only", "own-captions"]
    assert {e["model"] for e in page.table("in format, %")} == {"SFT 1"}, "the recipe's own alone"
    assert "[mine, grpo-only, seed 1]" in vlt("log", "grpo-model.grpo-only", *at)
    state = vlt_json("status", "dpo, seed 1", *at)
    assert state["run"]["arm"] == "dpo" and {row["state"] for row in state["arms"]} == {"done"}
