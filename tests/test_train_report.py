"""report_to: TRL's own loggers get the numbers, and their files outlive the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import samples, tiny_vlm, trained
from vlt.errors import UserError
from vlt.train.method import find_method
from vlt.train.trl_settings import REPORTERS, resolve
from vlt.workspace.store import Store


@pytest.mark.slow
def test_tensorboard_is_written_into_the_workspace(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    store = Store(tmp_path / "workspace")
    settings = {"per_device_train_batch_size": 8, "max_steps": 2, "report_to": "tensorboard"}
    model = str(tiny_vlm(tmp_path / "vlm"))
    made, _ = trained("sft", store, samples(store, 8), model=model, settings=settings)
    (events,) = (store.root / "logs").rglob("events.out.tfevents.*")
    assert events.relative_to(store.root / "logs").parts[0].startswith("sft-model-")
    assert b"train/loss" in events.read_bytes()
    again, existed = trained(
        "sft",
        store,
        samples(store, 8),
        model=model,
        settings={**settings, "report_to": "none"},
    )
    assert existed and again.ref == made.ref


def test_a_logger_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REPORTERS, "wandb", ("no_such_package",))
    with pytest.raises(UserError, match="report_to=wandb needs .*`pip install no_such_package`"):
        resolve(find_method("sft"), {"report_to": ["wandb"]}, images=True)
    assert resolve(find_method("grpo"), {"report_to": "none"}, images=True)["report_to"] == "none"
