"""Training beyond one tiny process: two processes, and the 7B model's own structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.tiny import items, samples, shrunken_vlm, tiny_vlm, trained
from vlt.train.freeze import part_of
from vlt.workspace.store import Dataset, Store

pytestmark = pytest.mark.slow

# Qwen2.5-VL-7B-Instruct's config.json; its numbers divided, its structure kept: head sizes 128 and
# 80, seven query heads to a key head, mrope sections, windowed vision layers with a full one last,
# untied embeddings, RMS norms, biases in q, k and v.
TEXT = {
    "hidden_size": 3584 // 4,
    "intermediate_size": 18944 // 16,
    "num_hidden_layers": 28 // 14,
    "num_attention_heads": 28 // 4,
    "num_key_value_heads": 4 // 4,
    "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1000000.0,
        "mrope_section": [16, 24, 24],
    },
}
VISION = {
    "depth": 32 // 8,
    "hidden_size": 1280 // 8,
    "intermediate_size": 3420 // 8,
    "num_heads": 16 // 8,
    "out_hidden_size": 3584 // 4,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "spatial_patch_size": 14,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [3],
    "tokens_per_second": 2,
    "hidden_act": "silu",
}


def curve(checkpoint: Dataset, name: str = "loss") -> list[float]:
    rows = pq.read_table(checkpoint.path / "metrics.parquet").to_pylist()
    return [r["value"] for r in rows if r["name"] == name]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """As one process that accumulates the same two batches: TRL averages over each batch first."""
    store = Store(tmp_path / "workspace")
    data = samples(store, 24)
    model = str(tiny_vlm(tmp_path / "vlm"))
    settings = {"per_device_train_batch_size": 4, "learning_rate": 1e-3, "max_steps": 6}
    made = {}
    for processes, accumulation in ((1, 2), (2, 1)):
        made[processes], _ = trained(
            "sft",
            store,
            data,
            model=model,
            settings={**settings, "gradient_accumulation_steps": accumulation},
            freeze=["vision_tower"],
            name=f"of-{processes}",
            processes=processes,
        )
        assert made[processes].manifest.facts["processes"] == processes
    assert curve(made[2]) == pytest.approx(curve(made[1]), abs=2e-5)
    assert curve(made[1])[-1] < curve(made[1])[0]


@pytest.fixture(scope="module")
def shrunk_7b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "shrunk-7b"
    return shrunken_vlm(folder, TEXT, VISION, tie_word_embeddings=False)


@pytest.mark.parametrize("freeze", [["vision_tower", "projector"], []])
def test_the_7b_models_structure_trains(shrunk_7b: Path, tmp_path: Path, freeze: list[str]) -> None:
    import torch
    from safetensors.torch import load_file

    store = Store(tmp_path / "workspace")
    pixels = {"min": 40_000, "max": 60_000}  # several attention windows of 112 x 112
    sft, _ = trained(
        "sft",
        store,
        samples(store, 8),
        model=str(shrunk_7b),
        settings={"per_device_train_batch_size": 4, "learning_rate": 1e-3, "max_steps": 2},
        freeze=freeze,
        pixels=pixels,
    )
    grpo, _ = trained(
        "grpo",
        store,
        items(store, 4),
        model="sft-model",
        settings={
            "per_device_train_batch_size": 4,
            "num_generations": 4,
            "max_completion_length": 8,
            "max_steps": 2,
            "learning_rate": 1e-3,
            "beta": 0.01,
        },
        # Random answers are all wrong; that they differ in length would need an end, so loops do.
        reward={"accuracy": 1, "repetition": 1},
        freeze=freeze,
        pixels=pixels,
    )
    assert grpo.manifest.facts["steps"] == 2
    before: dict[str, Any] = load_file(shrunk_7b / "model.safetensors")
    after = load_file(sft.path / "model.safetensors")
    for name, weights in after.items():
        moved = not torch.equal(weights, before[name].to(weights.dtype))
        assert moved == (not freeze or part_of(name) == "language_model"), name
    import json

    kept = json.loads((grpo.path / "processor_config.json").read_text())["image_processor"]
    assert kept["size"] == {"shortest_edge": 40_000, "longest_edge": 60_000}
