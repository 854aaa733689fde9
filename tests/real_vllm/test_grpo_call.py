"""What TRL would ask a colocated vLLM, asked of a real one: it reads the same prompt as training."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.models.lab import PICTURES
from tests.real_vllm.environment import python
from tests.real_vllm.server import ENVIRONMENT
from tests.test_grpo_vllm import HERE, STAND_IN

REPLAY = Path(__file__).with_name("replay.py")
SAME = 2e-4
"""Log-probabilities in float32, of vLLM's kernels for CPUs and of torch."""


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl_thinking"])
def test_a_prompt_is_expanded_once(name: str, tmp_path: Path) -> None:
    paths = os.pathsep.join([str(STAND_IN), str(HERE.parent)])
    command = [sys.executable, "-m", "tests.models.grpo_calls", str(tmp_path), name]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, check=True)
    asked = [str(python()), str(REPLAY), str(tmp_path / name / "calls.pickle")]
    done = subprocess.run(
        asked, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"tokens"')]
    assert len(found) == len(PICTURES)
    recorded = pickle.loads((tmp_path / f"{name}.pickle").read_bytes())
    expected = forwarded(tmp_path / name, recorded)
    for answer in found:
        said = expected[tuple(answer["tokens"])]
        for token, value in answer["likely"].items():
            assert abs(value - said[int(token)].item()) < SAME


def forwarded(folder: Path, recorded: dict[str, Any]) -> dict[tuple[int, ...], Any]:
    """A prompt's tokens -> the log-probabilities of what follows, as the trained model has them."""
    import torch

    from tests.models.grpo_calls import shown
    from vlt.engine.loading import load_model
    from vlt.train.turns import encode

    model, processor = load_model(str(folder / "model"), None, "float32")
    never, found = recorded["config"]["suppress_tokens"], {}
    with open(folder / "calls.pickle", "rb") as opened:
        while True:
            try:
                what, told = pickle.load(opened)
            except EOFError:
                return found
            if what != "generate":
                continue
            prompt = told["prompts"][0]
            text = processor.tokenizer.decode(prompt["prompt_token_ids"])
            fields = encode(processor, [text], [shown(prompt)])
            with torch.no_grad():
                logits = model.eval()(**fields).logits[0, -1]
            logits[never] -= 100.0
            found[tuple(fields["input_ids"][0].tolist())] = logits.log_softmax(-1)
