"""GRPO with vLLM: up to the call, TRL asks vLLM the same as transformers."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli import run_vlt
from tests.models.grpo_calls import MOST
from tests.models.lab import PICTURES
from vlt.errors import UserError
from vlt.train import launch, vllm
from vlt.train.methods.grpo import METHOD, GrpoTraining
from vlt.train.trl_settings import identity, resolve

HERE = Path(__file__).parent
STAND_IN = HERE / "vllm_stand_in"
ASKED = ("qwen2_5_vl", "qwen2_5_vl:3136:9408", "qwen3_vl_thinking", "llava_onevision", "r1_distill")
"""Families, one of them with a range of pixels as well."""
NEAR = 0.1
"""How far a pixel may be from where the processor's own resizing puts it, which is in about -2 to 2."""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What a family's GRPO asked, both ways."""
    folder = tmp_path_factory.mktemp("calls")
    paths = os.pathsep.join([str(STAND_IN), str(HERE.parent)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.grpo_calls", str(folder), *ASKED],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return lambda name: pickle.loads((folder / f"{name}.pickle").read_bytes())


def told(found: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return [arguments for name, arguments in found["vllm"] if name == what]


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED)
def test_vllm_is_asked_what_transformers_is(
    calls: Callable[[str], dict[str, Any]], name: str
) -> None:
    found = calls(name)
    by_tokens = {tuple(tokens): images for tokens, images in found["transformers"]}
    assert len(by_tokens) == len(PICTURES)
    assert {tuple(tokens) for tokens, _ in found["expanded"]} == by_tokens.keys()
    for tokens, images in found["expanded"]:
        other = by_tokens[tuple(tokens)]
        assert images.keys() == other.keys()
        for field, value in images.items():
            assert value.shape == other[field].shape
            # With a range the images are resized before TRL sees them, by Pillow and not by torchvision.
            if ":" in name and field == "pixel_values":
                assert abs(value - other[field]).mean() < NEAR
            else:
                assert (value == other[field]).all(), field
    config = found["config"]
    generated = told(found, "generate")
    assert len(generated) == len(PICTURES)
    for call in generated:
        sampling = call["sampling"]
        assert sampling["max_tokens"] == config["max_new_tokens"] == MOST
        assert sorted(sampling["stop_token_ids"]) == sorted(config["eos_token_id"])
        assert sampling["logit_bias"] == dict.fromkeys(config["suppress_tokens"], -100.0)
        for field in ("temperature", "top_p", "top_k", "repetition_penalty"):
            assert sampling[field] == config[field]
        assert sampling["n"] == 1 and sampling["logprobs"] == 0
    assert all(response.startswith(found["opens"]) for response in found["rollouts"])
    assert len(found["rollouts"]) == 2 * len(PICTURES)


@pytest.mark.slow
def test_how_it_is_started(calls: Callable[[str], dict[str, Any]]) -> None:
    found = calls("qwen2_5_vl")
    (start,) = told(found, "start")
    assert start["max_model_len"] == 400 + MOST
    assert start["gpu_memory_utilization"] == 0.3 and start["enable_sleep_mode"]
    assert start["logprobs_mode"] == "processed_logprobs"
    order = [name for name, _ in found["vllm"] if name != "load"]
    assert order[:2] == [
        "start",
        "sleep",
    ]  # nothing of it lies in the GPU while the first step waits
    assert order[2:7] == ["wake", "reset", "forget", "wake", "generate"] and order[-1] == "sleep"
    # Who generates is no part of what the checkpoint is.
    assert found["parameters"][0] == found["parameters"][1]


def test_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(way: Any, *, accelerate: list[str] | None = None, **given: Any) -> dict[str, Any]:
        return vllm.settings_of(GrpoTraining(vllm=way, settings=given, accelerate=accelerate or []))

    monkeypatch.setattr(launch, "has_gpu", lambda: True)
    monkeypatch.setattr(vllm, "installed", lambda: None)
    assert settings(None) == settings("auto") == {}
    with pytest.raises(
        UserError, match=r"vllm colocate: vLLM is not installed .* pip install 'vlt-loop"
    ):
        settings("colocate")
    monkeypatch.setattr(vllm, "installed", lambda: "0.31.0+cu129")
    one = {"use_vllm": True, "vllm_mode": "colocate", "vllm_enable_sleep_mode": True}
    assert settings("auto") == settings("colocate") == one
    assert settings("auto", use_vllm=False) == {} == settings(None)
    assert settings("auto", vllm_enable_sleep_mode=False).keys() == {"use_vllm", "vllm_mode"}
    url = {"vllm_server_base_url": "http://10.0.0.1:8000"}
    beside = {"use_vllm": True, "vllm_mode": "server"}
    assert settings("auto", **url) == settings("server", **url) == beside
    with pytest.raises(
        UserError, match="no server address is given; let vlt start the server on a Ray"
    ):
        settings("auto", accelerate=["--num_machines=2"])
    monkeypatch.setattr(launch, "has_gpu", lambda: False)
    assert settings("auto") == {}
    monkeypatch.setattr(vllm, "installed", lambda: "0.9.1")
    with pytest.raises(UserError, match=r"vLLM 0.9.1 is installed but TRL .* needs .*0.22.0"):
        settings("colocate")


def test_it_is_no_part_of_an_identity() -> None:
    placed = {
        "vllm_enable_sleep_mode": True,
        "vllm_max_model_length": 2048,
        "vllm_gpu_memory_utilization": 0.5,
        "vllm_tensor_parallel_size": 2,
    }
    given = {"num_generations": 4}
    assert identity(resolve(METHOD, {**given, **placed}, images=True)) == identity(
        resolve(METHOD, given, images=True)
    )
    assert METHOD.parameters(GrpoTraining(vllm="auto")) == METHOD.parameters(GrpoTraining())


@pytest.mark.parametrize(
    ("given", "rows", "says"),
    [
        ({"max_steps": 150, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 8,
          "max_completion_length": 1024}, None,
         "4,800 completions of at most 1,024 tokens (4,915,200 tokens at most), 32 at a time"),
        ({"num_generations": 5, "num_train_epochs": 15}, None, "75 completions of each item of at"),
        ({"num_generations": 5, "num_train_epochs": 2}, 100, "1,000 completions of at most 512"),
    ],
)  # fmt: skip
def test_what_it_costs_without(given: dict[str, Any], rows: int | None, says: str) -> None:
    found = METHOD.cost(GrpoTraining(settings=given), rows)
    assert found.startswith("generation by transformers: ") and says in found
    assert found.endswith("vllm: auto (--vllm auto) lets vLLM write them if it is installed")
    asked = METHOD.cost(GrpoTraining(settings=given, vllm="auto"), rows)
    assert "by transformers, since vLLM is not installed: " in asked


def test_a_plan_says_what_generation_costs() -> None:
    done = run_vlt("run", "miniature", "--dry-run", "-w", "nowhere")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "generation by transformers: 5,120 completions of at most 64 tokens" in said
    words = run_vlt("run", "miniature", "--dry-run", "--set", "rounds.0.grpo.0.train.vllm=fast")
    assert words.returncode == 2 and "vllm" in words.stderr
