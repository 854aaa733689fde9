"""The recipe for one GPU: its training settings, all of them, run on a shrunk Qwen2.5-VL-3B."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import PROMPT, items, samples, shrunken_vlm, trained
from vlt.runs.plan import training
from vlt.runs.recipe import load_recipe
from vlt.workspace.store import Store

RECIPE = "qwen2.5-vl-3b-single-gpu"
# Qwen2.5-VL-3B-Instruct's config.json with its numbers divided: eight query heads to a key head,
# head sizes 128 and 80, tied embeddings, windowed vision layers.
TEXT = {
    "hidden_size": 2048 // 2,
    "intermediate_size": 11008 // 16,
    "num_hidden_layers": 36 // 18,
    "num_attention_heads": 16 // 2,
    "num_key_value_heads": 2 // 2,
    "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1000000.0,
        "mrope_section": [16, 24, 24],
    },
}
VISION = {
    "depth": 32 // 16,
    "hidden_size": 1280 // 8,
    "intermediate_size": 3420 // 8,
    "num_heads": 16 // 8,
    "out_hidden_size": 2048 // 2,
    "window_size": 112,
    "fullatt_block_indexes": [1],
}
ON_A_CPU: dict[str, Any] = {"bf16": False, "use_cpu": True, "max_steps": 2}
"""What a test must change: the device, and how long."""


def shrunk_3b(folder: Path) -> Path:
    return shrunken_vlm(folder, TEXT, VISION, tie_word_embeddings=True)


def test_each_setting_has_its_reason() -> None:
    from vlt.runs.recipe import find_recipe

    lines = find_recipe(RECIPE).read_text().splitlines()
    settings = lines[lines.index("sft:") : lines.index("rounds:")]
    for line in settings:
        holds_others = line.endswith((":", "&sft", "&grpo"))
        if ": " in line and not holds_others and not line.strip().startswith(("#", "-")):
            assert "# " in line, f"no reason behind {line.strip()!r}"


def test_the_plan_asks_one_gpu_at_a_time() -> None:
    recipe = load_recipe(RECIPE)
    models = recipe.models
    assert {m.engine for m in (models.base, models.captioner, models.reasoner)} == {"vllm"}
    for settings in recipe.rounds:
        trains = [settings.sft, *(phase.train for phase in settings.grpo)]
        assert all(t.processes == 1 and t.lora and t.choose for t in trains)
        assert settings.grpo[0].rated_by == "rollouts"


@pytest.mark.slow
def test_its_trainings_run(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from safetensors.torch import load_file

    recipe = load_recipe(RECIPE)
    (phase,) = recipe.rounds[0].grpo
    store = Store(tmp_path / "workspace")
    model = shrunk_3b(tmp_path / "3b")
    given = {**vars(training(recipe.rounds[0].sft, recipe)), "prompt": PROMPT, "choose": None}
    given["settings"] = {**given["settings"], **ON_A_CPU, "gradient_accumulation_steps": 2}
    sft, _ = trained("sft", store, samples(store, 8), model=str(model), **given)
    assert sft.manifest.facts["trained"] < 0.5 * sft.manifest.facts["parameters"]
    assert set(load_file(sft.path / "model.safetensors")) == set(
        load_file(model / "model.safetensors")
    )

    given = {**vars(training(phase.train, recipe)), "prompt": PROMPT, "choose": None}
    short = {"gradient_accumulation_steps": 2, "max_completion_length": 16, "max_steps": 1}
    given["settings"] = {**given["settings"], **ON_A_CPU, **short}
    grpo, _ = trained("grpo", store, items(store, 4), model="sft-model", **given)
    facts = grpo.manifest.facts
    assert facts["steps"] == 1
    adapter = json.loads((grpo.path / "adapter" / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"]) == (16, 32)
    assert not any("visual" in name for name in adapter["target_modules"])
