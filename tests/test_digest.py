"""A model is its files, wherever they lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vlt.errors import UserError
from vlt.request import Sampling, request_key
from vlt.workspace.digest import model_digest, model_identity


def model(folder: Path, weights: bytes = b"w") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_path_and_training_state_do_not_count(tmp_path: Path) -> None:
    one = model(tmp_path / "one")
    two = Path(shutil.copytree(one, tmp_path / "two"))
    (two / "trainer_state.json").write_text("{}")
    (two / "README.md").write_text("hello")
    assert model_digest(one) == model_digest(two)
    assert model_identity(str(one)) == model_identity(str(two))
    assert model_digest(one) != model_digest(model(tmp_path / "three", b"v"))


def test_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        model_identity(str(tmp_path))
    with pytest.raises(UserError, match="not a directory"):
        model_identity(str(tmp_path / "nothing"))
    assert model_identity("Qwen/Qwen2.5-VL-3B-Instruct") == {
        "name": "Qwen/Qwen2.5-VL-3B-Instruct",
        "revision": None,
    }


def test_a_request_key_hangs_on_all_that_determines_an_answer() -> None:
    messages = [{"role": "user", "content": "hi"}]
    key = request_key({"name": "m"}, messages, Sampling())
    assert key == request_key({"name": "m"}, list(messages), Sampling())
    others = [
        request_key({"name": "n"}, messages, Sampling()),
        request_key({"name": "m"}, [{"role": "system", "content": ""}, *messages], Sampling()),
        request_key({"name": "m"}, messages, Sampling(temperature=0.5)),
        request_key({"name": "m"}, messages, Sampling(seed=1)),
        request_key({"name": "m"}, messages, Sampling(extra={"repetition_penalty": 1.1})),
    ]
    assert len({key, *others}) == 6
