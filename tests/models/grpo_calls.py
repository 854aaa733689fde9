"""What transformers and vLLM are asked by the same GRPO training, where vLLM is a stand-in.

    PYTHONPATH=tests/vllm_stand_in:. python -m tests.models.grpo_calls FOLDER FAMILY[:MIN:MAX] ...

leaves FOLDER/FAMILY.pickle: a dict of what each asked, with what, and what the checkpoint says.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq

from tests.models.lab import PICTURES, Lab
from vlt.train.turns import encode

LETTERS = Path(__file__).with_name("letters.py")
MOST = 6
SETTINGS: dict[str, Any] = {
    "num_generations": 2,
    "per_device_train_batch_size": 2,
    "max_completion_length": MOST,
    "max_steps": len(PICTURES),
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 7,
    "generation_kwargs": {"suppress_tokens": [4]},
}


def both(lab: Lab, pixels: dict[str, int]) -> dict[str, Any]:
    """Train by each; prompts are (tokens, what the images became), with those of vLLM expanded."""
    from vlt.train import grpo_trainer

    trainers = []
    start = grpo_trainer.RowsGRPOTrainer.__init__

    def started(self: Any, *arguments: Any, **more: Any) -> None:
        start(self, *arguments, **more)
        trainers.append(self)

    more: dict[str, Any] = {
        "pixels": pixels,
        "max_prompt_tokens": 400,
        "reward": {"accuracy": 1.0, f"{LETTERS}:letters": 1.0},
    }
    calls_file = lab.folder / "calls.pickle"
    os.environ["VLLM_CALLS"] = str(calls_file)
    with patch.object(grpo_trainer.RowsGRPOTrainer, "__init__", started):
        _, calls, _ = lab.train("grpo", lab.items, SETTINGS, **more)
        made, _, _ = lab.train("grpo", lab.items, SETTINGS, vllm="colocate", **more)
    return {
        "transformers": [looked(call) for call in calls if "labels" not in call],
        "config": trainers[0].generation_config.to_dict(),
        "vllm": list(noted(calls_file)),
        "expanded": list(expanded(calls_file, lab)),
        "rollouts": pq.read_table(made.path / "rollouts.parquet")["response"].to_pylist(),
        "parameters": [lab.workspace.open(f"grpo-{i}").manifest.parameters for i in range(2)],
        "opens": lab.family.opens,
    }


def looked(fields: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
    """The tokens of the first row's prompt, and what its images became."""
    rows = len(fields["input_ids"])
    there = fields["attention_mask"][0].bool()
    images = {
        name: value[: len(value) // rows].double().numpy()
        for name, value in fields.items()
        if name.startswith(("pixel", "image"))
    }
    return fields["input_ids"][0][there].tolist(), images


def noted(file: Path) -> Any:
    """The calls of vLLM; pictures as their sizes."""
    with open(file, "rb") as opened:
        while True:
            try:
                what, told = pickle.load(opened)
            except EOFError:
                return
            if what == "generate":
                told["prompts"] = [
                    {**p, "multi_modal_data": [i.size for i in shown(p)]} for p in told["prompts"]
                ]
            yield what, told


def expanded(file: Path, lab: Lab) -> Any:
    """The prompts of vLLM as it reads them: by the processor of the model's own folder."""
    from vlt.engine.chat import tokenizer_of

    with open(file, "rb") as opened:
        while True:
            try:
                what, told = pickle.load(opened)
            except EOFError:
                return
            for prompt in told["prompts"][::2] if what == "generate" else []:
                text = tokenizer_of(lab.processor).decode(prompt["prompt_token_ids"])
                yield looked(encode(lab.processor, [text], [shown(prompt)]))


def shown(prompt: dict[str, Any]) -> list[Any]:
    found = prompt.get("multi_modal_data", {}).get("image", [])
    return found if isinstance(found, list) else [found]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for asked in sys.argv[2:]:
        name, *limits = asked.split(":")
        pixels = dict(zip(("min", "max"), map(int, limits), strict=True)) if limits else {}
        lab = Lab(name, folder / asked.replace(":", "-"))
        (folder / f"{asked}.pickle").write_bytes(pickle.dumps(both(lab, pixels)))
        lab.workspace.close()
