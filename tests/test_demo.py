"""`vlt demo`, cut down to seconds a stage, and the command that it names at its end."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli import run_vlt, vlt_json
from vlt.workspace.store import Store

pytestmark = pytest.mark.slow
FEW = {
    "canary": "false",  # of models that have hardly been trained, a few items tell nothing
    "heldout.items.0.settings.n": 16,
    "reasoning.k": 2,
    "rollouts.k": 2,
    "sft.settings.max_steps": 2,
    "sft.settings.per_device_train_batch_size": 4,
    **{f"rounds.{i}.items.0.settings.n": 24 for i in (0, 1)},
    **{f"rounds.{i}.grpo.0.items.0.settings.n": 8 for i in (0, 1)},
    **{
        f"rounds.{i}.grpo.0.train.settings.{name}": value
        for i in (0, 1)
        for name, value in {
            "max_steps": 1,
            "num_generations": 4,
            "per_device_train_batch_size": 8,
            "max_completion_length": 32,
        }.items()
    },
}


def test_the_demo_and_the_arm_that_it_names(tmp_path: Path) -> None:
    workspace = tmp_path / "vlt-demo"
    settings = [word for name, value in FEW.items() for word in ("--set", f"{name}={value}")]
    done = run_vlt("demo", workspace, *settings)
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stderr
    assert "round  items  captions" in said + done.stdout
    [line] = re.findall(r"^ +\S*vlt (run miniature-glance --arm .*)$", said + done.stdout, re.M)
    assert {version.ref for version in Store(workspace).all()} > {"sft@v2", "grpo-model@v2"}
    planned = vlt_json(*shlex.split(line), "--dry-run")
    waits = {
        arm: {
            step["makes"] for step in planned if step["arm"].startswith(arm) and not step["version"]
        }
        for arm in ("loop", "grpo-only")
    }
    assert not waits["loop"]
    assert {"grpo-model.grpo-only@r1", "grpo-model.grpo-only@r2"} < waits["grpo-only"]
    assert not [name for name in waits["grpo-only"] if name.startswith("sft")]
