"""The overhead of `vlt train` over plain TRL: per step, and at start and end.

    python -m benchmarks.train [--kind sft|grpo] [--steps 40] [--repeats 3]
    python -m benchmarks.train --shape 3b --steps 20       # one GPU with 80 GB; 0.5b: 24 GB

The same rows, model and settings, in separate processes, in turns. Wall times on a busy machine vary by
more than the overhead, so CPU seconds are given as well, and the overhead in both: per step as a share
(the bar is 2 %), at start and end in seconds (5 s). On a GPU also samples/s, peak memory and, for SFT,
model FLOPs utilisation (2 FLOPs per token and parameter, 4 more per trained parameter; attention not
counted).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.shapes import SHAPES, build, peak_flops, picture
from tests.tiny import PROMPT, items, samples, trained
from vlt.images.store import ImageStore
from vlt.train.launch import environment
from vlt.train.method import find_method
from vlt.train.trl_rows import write_trl
from vlt.workspace.store import Dataset, Store

SETTINGS: dict[str, dict[str, Any]] = {
    "sft": {"per_device_train_batch_size": 16, "learning_rate": 1e-4},
    "grpo": {
        "per_device_train_batch_size": 32,
        "num_generations": 8,
        "max_completion_length": 32,
        "learning_rate": 1e-6,
    },
}
LARGE: dict[str, dict[str, Any]] = {
    "sft": {"per_device_train_batch_size": 8},
    "grpo": {"per_device_train_batch_size": 16, "max_completion_length": 256},
}
BY_HAND = """
import json, sys, time
import torch
from datasets import Dataset
settings, model, file, folder, kind, freeze, lora = json.loads(sys.argv[1])
cpu = dict(use_cpu=True, bf16=False, gradient_checkpointing=False)
place = {} if torch.cuda.is_available() else cpu
same = dict(report_to="none", logging_steps=1, save_steps=0.1, save_total_limit=2, disable_tqdm=True)
rows = Dataset.from_parquet(file, cache_dir=folder + "/cache")
more = {}
if lora:
    from peft import LoraConfig
    lora = {"target_modules": "all-linear", **lora}
    more["peft_config"] = LoraConfig(task_type="CAUSAL_LM", **lora)
if freeze:
    from transformers import AutoModelForImageTextToText
    args = settings.get("model_init_kwargs", {})
    model = AutoModelForImageTextToText.from_pretrained(model, **args)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "visual" not in name or "merger" in name
if kind == "sft":
    from trl import SFTConfig, SFTTrainer
    args = SFTConfig(folder, max_length=None, **place, **same, **settings)
    rows = rows.select_columns(["prompt", "completion", "images"])
    trainer = SFTTrainer(model=model, args=args, train_dataset=rows, **more)
else:
    from trl import GRPOConfig, GRPOTrainer
    from vlt.train.rewards import rewards
    args = GRPOConfig(folder, **place, **same, **settings)
    functions = rewards({"accuracy": 1.0}).functions
    trainer = GRPOTrainer(
        model=model, reward_funcs=functions, args=args, train_dataset=rows, **more
    )
started, cpu = time.monotonic(), time.process_time()
trainer.train()
seconds, cpu = time.monotonic() - started, time.process_time() - cpu
trainer.save_model(folder + "/model")
cuda = torch.cuda.is_available()
print("RESULT", json.dumps({
    "training": seconds,
    "training_cpu": cpu,
    "peak": torch.cuda.max_memory_allocated() if cuda else 0,
    "device": torch.cuda.get_device_name() if cuda else "cpu",
    "tokens": [x["num_tokens"] for x in trainer.state.log_history if "num_tokens" in x][-1],
    "parameters": sum(p.numel() for p in trainer.model.parameters()),
    "trained": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
}))
"""
Result = dict[str, Any]


def by_hand(
    kind: str,
    settings: dict[str, Any],
    model: str,
    file: Path,
    folder: Path,
    *,
    freeze: Sequence[str] = (),
    lora: dict[str, Any] | None = None,
) -> Result:
    """A training as in a TRL user's own script; `freeze`, if given, freezes the vision tower."""
    words = json.dumps([settings, model, str(file), str(folder), kind, list(freeze), lora])
    done = subprocess.run(
        [sys.executable, "-c", BY_HAND, words],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**environment(), "PYTHONPATH": os.getcwd()},
    )
    found: Result = json.loads(done.stdout.rpartition("RESULT")[2])
    return found


def by_vlt(
    kind: str, settings: dict[str, Any], model: str, data: Dataset, store: Store, **more: Any
) -> Result:
    """The same with vlt; its measurements are in the checkpoint's facts and metrics."""
    name = f"bench-{time.monotonic_ns()}"
    made, _ = trained(kind, store, data, model, settings=settings, name=name, **more)
    facts = made.manifest.facts
    metrics = pq.read_table(made.path / "metrics.parquet").to_pylist()
    return {
        "training": facts["train_seconds"],
        "training_cpu": facts["train_cpu_seconds"],
        "peak": facts.get("peak_gpu_bytes", 0),
        "tokens": [m["value"] for m in metrics if m["name"] == "num_tokens"][-1],
        "parameters": facts["parameters"],
        "trained": facts["trained"],
    }


def measured(run: Callable[[], Result]) -> Result:
    """A run's result, with the wall seconds outside training, and the total CPU seconds."""
    before, own = resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time()
    started = time.monotonic()
    result = run()
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cpu += time.process_time() - own
    rest_cpu = cpu - result["training_cpu"]
    return {**result, "rest": wall - result["training"], "cpu": cpu, "rest_cpu": rest_cpu}


def rows_for(kind: str, shape: str, store: Store) -> Dataset:
    """512 small images with short answers, or 64 images of 504 x 504 pixels with 400 words each."""
    if shape == "tiny":
        return samples(store, 512) if kind == "sft" else items(store, 512)
    pictures = [picture(i, 504) for i in range(64)]
    words = " ".join(["red", "blue", "green", "circle"] * 100)
    if kind == "sft":
        return samples(store, 64, pictures=pictures, words=words)
    return items(store, 64, pictures=pictures)


def show(kind: str, steps: int, batch: int, found: dict[str, list[Result]]) -> None:
    """Print the medians side by side."""
    device = found["TRL by hand"][0]["device"]
    print(f"{kind}, {steps} steps of {batch}, median of {len(found['TRL by hand'])}, {device}")
    print(f"{'':12}{'ms/step':>10}{'samples/s':>11}{'rest, s':>9}{'CPU, s':>9}{'GiB':>7}{'MFU':>7}")
    for name, runs in found.items():
        middle = {k: statistics.median(r[k] for r in runs) for k in ("training", "rest", "cpu")}
        one, seconds, best = runs[0], middle["training"], peak_flops(device)
        flops = one["tokens"] * (2 * one["parameters"] + 4 * one["trained"])
        mfu = f"{flops / seconds / best:.1%}" if best and kind == "sft" else "-"
        print(
            f"{name:12}{seconds / steps * 1000:10.1f}{batch * steps / seconds:11.1f}"
            f"{middle['rest']:9.1f}{middle['cpu']:9.1f}{one['peak'] / 2**30:7.1f}{mfu:>7}"
        )

    print(overhead(found["TRL by hand"], found["vlt train"]))


def overhead(hand: list[Result], ours: list[Result]) -> str:
    """What vlt adds: per step as a share, at start and end in seconds; by wall clock and by CPU."""

    def middle(runs: list[Result], key: str) -> float:
        return statistics.median(run[key] for run in runs)

    lines = []
    for clock, step, rest in (("wall", "training", "rest"), ("CPU", "training_cpu", "rest_cpu")):
        share = middle(ours, step) / middle(hand, step) - 1
        more = middle(ours, rest) - middle(hand, rest)
        lines.append(
            f"vlt adds, by {clock:4}: {share:+.1%} per step, {more:+.1f} s at start and end"
        )
    return "\n".join(lines)


def main() -> None:
    """Train in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["sft", "grpo"], default="sft")
    parser.add_argument("--shape", choices=["tiny", *SHAPES], default="tiny")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    kind, large = options.kind, {} if options.shape == "tiny" else LARGE[options.kind]
    settings = {**SETTINGS[kind], **large, "max_steps": options.steps}
    found: dict[str, list[Result]] = {"TRL by hand": [], "vlt train": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = Store(root / "workspace")
        model = str(build(options.shape, root / "model"))
        data = rows_for(kind, options.shape, store)
        file = root / "rows.parquet"
        with ImageStore(store.images_folder) as images:
            write_trl(data, file, find_method(kind), prompt=PROMPT, load_image=images.read)
        for i in range(options.repeats):
            run = str(root / f"run-{i}")
            hand = measured(lambda: by_hand(kind, settings, model, file, Path(run)))  # noqa: B023
            found["TRL by hand"].append(hand)
            found["vlt train"].append(measured(lambda: by_vlt(kind, settings, model, data, store)))
    show(kind, options.steps, settings["per_device_train_batch_size"], found)


if __name__ == "__main__":
    main()
