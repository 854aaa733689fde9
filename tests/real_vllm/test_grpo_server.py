"""GRPO with `vllm: server` on a cluster, whose server is a real vLLM: it reads what is trained on.

The training's processes run on CPUs, so NCCL does not carry the weights: files do (weights_by_file). All else
is TRL's client and vLLM's server: how images and tokens are sent, loading weights, and sampling.
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli import vlt
from tests.on_ray.cluster import Nodes
from tests.on_ray.replicas import places
from tests.real_vllm.for_trl import packages_for_trl
from tests.real_vllm.server import ENVIRONMENT, forked
from tests.test_grpo_vllm import STAND_IN
from tests.tiny import items, tiny_vlm
from vlt.workspace.store import Store

PLUGIN = Path(__file__).with_name("weights_by_file")
ARGUMENTS = (
    "--dtype float32 --enforce-eager --max-num-seqs 16 --max-num-batched-tokens 4096 "
    """--no-enable-chunked-prefill --limit-mm-per-prompt '{"image":2,"video":0}'"""
)
PROCESSES, STEPS, BATCH, GROUP = 2, 4, 4, 4
NEAR = 0.006
"""Mean difference of a token's log-probability. It is 0.003 to 0.004 here, since vLLM leaves out the tokens
that may not be sampled before it normalizes, and the training does not: one of 256 in a random model. From
the second step on it is 0.09 and more if the weights do not arrive, and 0.01 to 0.03 if vLLM keeps what it
saw in the images with earlier weights."""
REWARD = """
def vowels(completions, **columns):
    return [sum(letter in "aeiou" for letter in c[-1]["content"]) / 10 for c in completions]
"""


@pytest.mark.timeout(900)
def test_a_server_samples_from_the_weights_of_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, weights = Store(tmp_path / "workspace"), tmp_path / "weights"
    items(store, 2)  # so that each step has the images of the one before
    weights.mkdir()
    (tmp_path / "rewards.py").write_text(REWARD)
    before = os.environ.get("PYTHONPATH", "")
    for name, value in {
        **ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join([str(STAND_IN), os.getcwd(), before]),
        "VLLM_CALLS": str(tmp_path / "calls"),
        "VLLM_REAL": f"env PYTHONPATH={PLUGIN}:{packages_for_trl()} {forked()}",
        "VLLM_REAL_ARGUMENTS": ARGUMENTS,
        "VLLM_WEIGHTS": str(weights),
    }.items():
        monkeypatch.setenv(name, value)
    settings = {
        "num_generations": GROUP,
        "per_device_train_batch_size": BATCH,
        "max_completion_length": 12,
        "max_steps": STEPS,
        "learning_rate": 3e-3,
        "logging_steps": 1,
    }
    given = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    with Nodes(2, cpus=2, gpus=2) as nodes:
        vlt(
            *("train", "grpo", "-w", store.root, "--data", "items"),
            *("--model", tiny_vlm(tmp_path / "vlm"), "--reward", "accuracy=1"),
            *("--reward", f"{tmp_path}/rewards.py:vowels=1"),
            *("--vllm", "server", "--ray", nodes.address, "--processes", PROCESSES),
            *("--max-prompt-tokens", 400, *given),
        )
        assert not places(nodes)
    made = store.open("grpo-model")
    assert made.manifest.facts["processes"] == PROCESSES
    rollouts = pq.read_table(made.path / "rollouts.parquet").to_pylist()
    assert len(rollouts) == PROCESSES * BATCH * STEPS
    assert len({row["response"] for row in rollouts}) > STEPS, "it samples"
    metrics = pq.read_table(made.path / "metrics.parquet").to_pylist()
    apart = [
        row["value"] for row in metrics if row["name"] == "sampling/sampling_logp_difference/mean"
    ]
    assert len(apart) == STEPS
    assert max(apart) < NEAR, apart
    assert moved(weights) > 0.001


def moved(weights: Path) -> float:
    """How far a weight has moved from the first to the last that were sent, at most."""
    from safetensors.torch import load_file

    files = sorted(weights.glob("*.safetensors"), key=lambda file: int(file.stem))
    assert len(files) >= STEPS
    first, last = load_file(files[0]), load_file(files[-1])
    return max((last[name] - value).abs().max().item() for name, value in first.items())
