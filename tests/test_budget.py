"""The cost of a recipe is shown before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cli import vlt, vlt_json
from vlt.engine.model import Model
from vlt.runs.budget import Budget, parameters_of, planned, total
from vlt.runs.loop import plan
from vlt.runs.recipe import BUNDLED, load_recipe
from vlt.runs.step import Key, Step


def by_key(steps: list[Step], budgets: list[Budget]) -> dict[Key, Budget]:
    return {step.key: budget for step, budget in zip(steps, budgets, strict=True)}


def test_several_trainings_of_a_round_all_count() -> None:
    recipe = load_recipe("qwen3-vl-8b")
    steps = plan(recipe)
    whole = total(steps, planned(recipe.models.base, steps))
    assert whole.grpo_steps == 200 + 100 and whole.completions == 300 * 512


def test_the_miniatures() -> None:
    recipe = load_recipe("miniature")
    steps = plan(recipe)
    budgets = planned(recipe.models.base, steps)
    whole, each = total(steps, budgets), by_key(steps, budgets)
    assert whole.grpo_steps == 40 + 50 and whole.completions == 90 * 128
    # Captions of round 1, samples of both, answers of four models (and the canary's), completions of
    # GRPO, each as long as may be.
    assert recipe.canary
    answers = 4 * (1000 + recipe.canary.items)
    written = 1000 * 40 + 2 * 1000 * 4 * 64 + answers * 64 + 90 * 128 * 64
    assert whole.sampled_tokens == written
    sft = each[1, "sft-model"]  # one sample an item, in batches of 32, three times
    assert sft.trained_tokens == 3 * 32 * 32 * 64
    size = parameters_of(recipe.models.base)
    assert size and 1.2e6 < size < 1.4e6
    assert sft.training_flops == 6 * size * sft.trained_tokens
    assert whole.seconds is None, "nothing like it has been made here"


@pytest.mark.parametrize(
    ("name", "billions"),
    [("Qwen/Qwen2.5-VL-7B-Instruct", 7), ("Qwen/Qwen3-VL-8B", 8), ("SmolVLM-2.2B", 2.2), ("m", 0)],
)
def test_sizes_by_name(name: str, billions: float) -> None:
    assert parameters_of(Model(name)) == (billions * 1e9 or None)


def test_trl_counts_steps_in_completions() -> None:
    """v1: 5,000 items 15 times, 5 completions each, 640 a step."""
    recipe = load_recipe("openvlthinker-v1")
    steps = plan(recipe)
    each = by_key(steps, planned(recipe.models.base, steps))
    items = 4 * 1125 + 498
    assert each[1, "grpo-model"].grpo_steps == 15 * -(-items * 5 // 640)
    assert each[1, "grpo-model"].completions == each[1, "grpo-model"].grpo_steps * 640


def test_what_cannot_be_known_is_told_as_unknown(tmp_path: Path) -> None:
    tree = yaml.safe_load((BUNDLED / "miniature.yaml").read_text())
    tree["rounds"][0]["items"] = [{"source": "someone/questions"}]
    for role in tree["models"].values():
        role["model"] = str((BUNDLED / role["model"]).resolve())
    tree["arms"] = {"grpo-only": {"each_round": {"teacher": False, "sft": False}}}
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(tree))
    shown = vlt("run", file, "--dry-run", "-w", tmp_path / "none").splitlines()
    (line,) = (line for line in shown if line.startswith("planned"))
    assert line.split()[1:4] == ["90", "11,520", "?"]
    rows = vlt_json("run", file, "--arms", "--dry-run", "-w", tmp_path / "none")
    of = {(row["arm"], row["makes"]): row["planned"] for row in rows}
    assert of["grpo-only, seed 1", "grpo-model.grpo-only@r1"]["grpo_steps"] == 40
