"""LoRA: what is trained, what is not, and that the checkpoint is an ordinary model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import items, samples, tiny_vlm, trained
from vlt.errors import UserError
from vlt.train.freeze import part_of
from vlt.train.lora import check_lora
from vlt.workspace.store import Store

pytest.importorskip("peft")


@pytest.mark.slow
def test_adapters_are_trained_and_merged(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    store = Store(tmp_path / "workspace")
    model = tiny_vlm(tmp_path / "vlm")
    sft, _ = trained(
        "sft",
        store,
        samples(store, 16),
        model=str(model),
        settings={"per_device_train_batch_size": 8, "learning_rate": 1e-2, "max_steps": 6},
        freeze=["vision_tower"],
        lora={"r": 4, "lora_alpha": 8},
    )
    assert sft.manifest.facts["loss"]["last"] < sft.manifest.facts["loss"]["first"]
    assert sft.manifest.facts["trained"] < 0.1 * sft.manifest.facts["parameters"]
    before = load_file(model / "model.safetensors")
    after = load_file(sft.path / "model.safetensors")
    assert set(after) == set(before)
    moved = {n for n, w in after.items() if not torch.equal(w, before[n].to(w.dtype))}
    linear = ("_proj.weight", "mlp.0.weight", "mlp.2.weight")
    assert moved == {n for n in after if n.endswith(linear) and part_of(n) != "vision_tower"}
    assert (sft.path / "adapter" / "adapter_config.json").is_file()
    grpo, _ = trained(
        "grpo",
        store,
        items(store, 8),
        model="sft-model",
        settings={
            "per_device_train_batch_size": 8,
            "num_generations": 4,
            "max_completion_length": 16,
            "max_steps": 2,
            "beta": 0.01,
        },
        lora={"r": 4},
    )
    assert grpo.manifest.facts["steps"] == 2
    assert [p.ref for p in grpo.manifest.parents] == ["items@v1", "sft-model@v1"]


def test_settings_are_checked() -> None:
    assert check_lora({}) is None
    assert check_lora({"r": 8}) == {"r": 8, "lora_alpha": 32}
    for bad, words in (
        ({"rank": 8}, "not a setting"),
        ({"r": 0.5}, "type int"),
        ({"r": True}, "type int"),
        ({"use_dora": 1}, "type bool"),
    ):
        with pytest.raises(UserError, match=words):
            check_lora(bad)
