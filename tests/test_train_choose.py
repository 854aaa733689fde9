"""Which step's model is kept: with whole weights and with adapters, also after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import items, samples, tiny_vlm, trained
from vlt.train.selection import Chooser
from vlt.workspace.digest import model_digest
from vlt.workspace.store import Dataset, Store

pytestmark = pytest.mark.slow
SETTINGS: dict[str, Any] = {
    "per_device_train_batch_size": 8,
    "learning_rate": 1e-2,
    "max_steps": 3,
    "lr_scheduler_type": "constant",
}


class Broken(Exception):
    """What ends a run in the middle of judging."""


def chooser(
    given: Dataset, judge: Callable[[Path], Mapping[str, float]], every: int = 1
) -> Chooser:
    return Chooser(every=every, items=given, asked={"k": 1}, judge=judge)


def test_the_best_goes_on_after_an_interruption(tmp_path: Path) -> None:
    store = Store(tmp_path / "workspace")
    given, data, model = items(store, 4), samples(store, 16), str(tiny_vlm(tmp_path / "vlm"))
    digests: list[str] = []
    values = [0.25, 0.5, 0.5]

    def judge(folder: Path) -> Mapping[str, float]:
        digest = model_digest(folder)
        if len(digests) == 1 and broken:
            broken.pop()
            raise Broken
        if digest not in digests:
            digests.append(digest)
        return {"value": values[digests.index(digest)], "low": 0.0, "high": 1.0, "n": 4}

    def train(name: str, **more: Any) -> Dataset:
        made, _ = trained("sft", store, data, model=model, settings=SETTINGS, name=name, **more)
        return made

    broken = [1, 2]
    with pytest.raises(Broken):
        train("chosen", choose=chooser(given, judge))
    with pytest.raises(Broken):
        train("chosen", choose=chooser(given, judge))
    # As if it had been killed between its last step's checkpoint and its end.
    (result,) = (store.root / "checkpoints" / "chosen").glob(".building-*/result.json")
    result.unlink()
    made = train("chosen", choose=chooser(given, judge))
    assert len(digests) == 3, "the same three models, though the first was judged thrice"
    assert made.manifest.facts["chosen"]["step"] == 2, "of equals the earlier"
    assert made.manifest.digest == digests[1] == model_digest(made.path)
    assert [p.name for p in made.path.parent.iterdir() if p.name != ".lock"] == ["v1"]
    # Putting models aside changes nothing of the training: the last is that of a plain one.
    assert train("plain").manifest.digest == digests[2]
    other = train("chosen", choose=chooser(given, judge, every=2))
    assert [score["step"] for score in other.manifest.facts["chosen"]["of"]] == [2, 3]


def test_adapters_are_merged_one_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    import torch
    from safetensors.torch import load_file

    store = Store(tmp_path / "workspace")
    model = tiny_vlm(tmp_path / "vlm")
    digests: list[str] = []

    def judge(folder: Path) -> Mapping[str, float]:
        build = folder.parent
        assert len([p for p in build.glob("*/model.safetensors") if p.parent.name != "model"]) <= 2
        digests.append(model_digest(folder))
        return {"value": 1 / len(digests), "low": 0.0, "high": 1.0, "n": 4}

    made, _ = trained(
        "sft",
        store,
        samples(store, 16),
        model=str(model),
        settings=SETTINGS,
        freeze=["vision_tower"],
        lora={"r": 4},
        choose=chooser(items(store, 4), judge),
    )
    assert len(set(digests)) == 3
    assert made.manifest.facts["chosen"]["step"] == 1
    assert made.manifest.digest == digests[0] == model_digest(made.path)
    assert (made.path / "adapter" / "adapter_config.json").is_file()
    before, after = (load_file(f / "model.safetensors") for f in (model, made.path))
    assert set(before) == set(after)
    assert any(not torch.equal(after[n], w.to(after[n].dtype)) for n, w in before.items())
