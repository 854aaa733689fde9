"""Checkpoints of vlt, served by a real vLLM: it sees what training and vlt's own engine see.

One server for each checkpoint, which all is asked of. On a CPU vLLM computes attention in kernels of
its own: in float32 its log-probabilities are those of transformers to about 1e-5.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.models.lab import PICTURES, PROMPT, Lab, opened, picture
from tests.real_vllm.server import ENVIRONMENT, forked
from vlt.engine.body import body, prefix
from vlt.engine.model import Model
from vlt.images.decode import open_image
from vlt.prompts import render
from vlt.request import Completion, Message, Request, Sampling
from vlt.workspace.store import Dataset

ARGUMENTS = (
    "--dtype float32 --enforce-eager --max-model-len 512 --max-num-seqs 16 "
    "--max-num-batched-tokens 4096 --no-enable-chunked-prefill "
    """--limit-mm-per-prompt '{"image":3,"video":0}'"""
)
LETTERS = Path(__file__).parents[1] / "models" / "letters.py"
FAMILIES = ("qwen2_5_vl", "qwen3_vl_thinking")
TOP = 20
"""Likeliest tokens that a server says the probabilities of."""
SAME, ELSE = 2e-4, 1e-3
"""Log-probabilities: alike, and of another picture."""
SETTINGS: dict[str, Any] = {"max_steps": 8, "learning_rate": 5e-3}
GRPO: dict[str, Any] = {
    "num_generations": 2,
    "per_device_train_batch_size": 4,
    "max_completion_length": 8,
    "max_steps": 2,
    "top_k": 0,
}


@pytest.fixture(scope="module", params=FAMILIES)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with opened(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture(params=["sft", "grpo", "lora"])
def checkpoint(request: pytest.FixtureRequest, lab: Lab) -> Dataset:
    lora = {"lora": {"r": 4}} if request.param == "lora" else {}
    made, _, _ = lab.train("sft", lab.right, SETTINGS, **lora)
    if request.param == "grpo":  # from the SFT model, as in the loop: random weights write no text
        with patch.object(lab, "model", made.path):
            made, _, _ = lab.train("grpo", lab.items, GRPO, reward={f"{LETTERS}:letters": 1.0})
    return made


def test_it_is_served_as_it_was_trained(
    lab: Lab, checkpoint: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    path = str(checkpoint.path)
    ours = {of["row"]["question"]: of["answer"] for of in lab.asked(checkpoint.path)[0]}
    served = Model(path, engine="vllm", vllm_command=forked(), vllm_args=ARGUMENTS)
    engine = served.open(lab.workspace)
    try:
        rows = lab.rows()
        asked = [render(PROMPT, row, images=True) for row in rows]
        sampling = Sampling(temperature=0.0, max_tokens=6)
        requests = [
            Request(row["question"].encode(), messages, (0, 1), sampling)
            for row, messages in zip(rows, asked, strict=True)
        ]
        found = list(engine.complete(requests))
        said = [likeliest(lab, path, messages) for messages in asked]
    finally:
        engine.close()
    assert len(found) == 2 * len(PICTURES)
    for answer in found:
        assert isinstance(answer, Completion), answer
        ask = ours[answer.key.decode()]
        assert answer.prompt_tokens == ask.prompt_tokens, answer.key
        # A server keeps a character back whose bytes have not all arrived.
        whole = ask.response.rstrip("\N{REPLACEMENT CHARACTER}")
        assert lab.family.opens + answer.response == whole
        assert (answer.finish_reason, answer.completion_tokens) == (
            ask.finish_reason,
            ask.completion_tokens,
        )
    expected = forwarded(lab, checkpoint.path)
    for i, at_server in enumerate(said):
        assert len(at_server) == TOP
        for token, value in at_server.items():
            assert abs(value - expected[i][token].item()) < SAME, rows[i]["question"]
    # Which says something of the pictures only where another one would have been noticed.
    others = forwarded(lab, checkpoint.path, picture((420, 300), 99))
    for i, row in enumerate(rows):
        if row["images"]:
            assert (others[i] - expected[i]).abs().max() > ELSE, row["question"]


def likeliest(lab: Lab, model: str, messages: list[Message]) -> dict[int, float]:
    """Token -> its log-probability as the answer's first, of the likeliest, asked of vlt's own server."""
    (log,) = sorted((lab.workspace.root / "logs").glob("vllm-*.log"))[-1:]
    port = re.findall(r"--port (\d+)", log.read_text())[-1]
    extra = {"logprobs": True, "top_logprobs": TOP, "return_tokens_as_token_ids": True}
    head = prefix(model, Sampling(temperature=0.0, max_tokens=1, extra=extra))
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        body(head, messages, 1, None, lab.workspace.images.read),
        {"Content-Type": "application/json"},
    )
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with straight.open(asked, timeout=60) as reply:
        (first,) = json.loads(reply.read())["choices"][0]["logprobs"]["content"]
    return {int(t["token"].removeprefix("token_id:")): t["logprob"] for t in first["top_logprobs"]}


def forwarded(lab: Lab, model: Path, instead: bytes | None = None) -> list[Any]:
    """The same of every token, by a forward pass over each row as training shows it to the model.

    `instead`: a picture in the place of each row's first.
    """
    import torch

    from vlt.engine.loading import load_model
    from vlt.train.turns import Turns

    loaded, processor = load_model(str(model), None, "float32")
    turns, found = Turns.of(processor, loaded.eval()), []
    for i in range(len(PICTURES)):
        row = lab.example(i, open_image)
        if instead and row["images"]:
            row["images"][0] = open_image(instead).resize(row["images"][0].size)
        with torch.no_grad():
            found.append(loaded(**turns.asked([row])).logits[0, -1].log_softmax(-1))
    return found
