"""The recipe qwen2.5-vl-3b-single-gpu on the miniature's weights, few items and a CPU; else as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.real_vllm.server import MINIATURE
from vlt.runs.recipe import BUNDLED

RECIPE = "qwen2.5-vl-3b-single-gpu"
MODELS = {"base": "vlm", "captioner": "vlm", "reasoner": "reasoner"}
BENCHMARKS = ("mathvista", "mathverse", "mathvision")
"""What the recipe keeps its training data apart from."""
EASY = {"shapes-count": 1, "table-over": 1, "bars-over": 1}
PROMPTS = {  # within the miniature's vocabulary
    "caption": {"user": "Describe the picture."},
    "reasoning": {"user": "{caption} {question} Think first."},
    "rollout": {"user": "{question} Think first."},
}
ON_A_CPU = {"bf16": False, "use_cpu": True, "save_steps": 1}
SFT = {
    "max_steps": 2,
    "warmup_steps": 0,  # of two steps it would leave one that changes nothing, in each round alike
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
}
GRPO = {
    "max_steps": 2,
    "warmup_steps": 0,
    "num_generations": 4,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "max_completion_length": 32,
}


def write_single_gpu(file: Path) -> Path:
    """The recipe, every step of it, at a size at which a CPU carries it out in minutes."""
    tree = yaml.safe_load((BUNDLED / f"{RECIPE}.yaml").read_text())
    for name, model in tree["models"].items():
        assert model["engine"] == "vllm"
        model["model"] = str(MINIATURE / MODELS[name])
    tree["prompts"] = PROMPTS
    held = {"split": "heldout", "n": 12}
    tree["heldout"]["items"] = [few(9, **held)]
    tree["validation"]["items"] = [few(10, **held)]
    for draw in (tree["heldout"]["draw"], tree["validation"]["draw"], tree["captions"]):
        draw["max_tokens"] = 48
    for draw in (tree["reasoning"], tree["rollouts"]):
        draw["max_tokens"] = 64
    for number, of_round in enumerate(tree["rounds"]):
        of_round["items"] = [few(100 * number + i, n=8) for i in range(len(of_round["items"]))]
    shorten(tree["sft"], SFT, every=1)
    (phase,) = tree["grpo"]
    phase["items"] = [few(50 + i, n=10) for i in range(len(phase["items"]))]
    phase["difficulty"] = [0.0, 1.0]  # few items, of which there may be none in the recipe's band
    shorten(phase["train"], GRPO, every=25)
    tree.pop("stop")  # so short a training gains nothing
    file.write_text(yaml.safe_dump(tree))
    return file


def shorten(train: dict[str, Any], settings: dict[str, Any], every: int) -> None:
    """As many steps as show that it trains; a model is put aside after each so many."""
    train["choose"]["every"] = every
    train["settings"] |= {**settings, **ON_A_CPU}


def few(seed: int, n: int, split: str = "train") -> dict[str, Any]:
    """A few synthetic items instead of a source's."""
    return {
        "source": "miniature",
        "settings": {"n": n, "split": split, "seed": seed, "families": EASY},
    }
