"""One GPU's figures in one command of about eight minutes, each printed as soon as it is known.

    python -m benchmarks.gpu_check [--minutes 8] [--to FILE]      # 80 GB; --shape 0.5b: 24 GB
    python -m benchmarks.gpu_check --shape tiny                   # a trial run on a CPU

1. Trainings of a random Qwen2.5-VL-3B in bfloat16: SFT with a frozen tower, SFT with LoRA, GRPO with
   transformers' generation. samples/s, tokens/s, peak memory and model FLOPs utilisation, compared with
   plain TRL on the same rows: vlt should reach at least 0.98 of its speed.
2. The engine `local` compared with transformers' `generate` on the same requests: tokens/s.
3. Peak memory of the trainings of qwen2.5-vl-3b-single-gpu, as in the recipe.
4. The miniature's loop on the GPU: its time, and its accuracies compared with a CPU's intervals.

A part for which too little time is left is skipped, with a message. No downloads: the models are random.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.shapes import SHAPES, build, peak_flops, picture
from benchmarks.train import by_hand, by_vlt, rows_for
from tests.tiny import PROMPT
from vlt.images.store import ImageStore
from vlt.train.method import find_method
from vlt.train.trl_rows import write_trl
from vlt.workspace.store import Store

TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    "SFT, tower frozen": ("sft", {"freeze": ["vision_tower"]}),
    "SFT, LoRA r=64": ("sft", {"lora": {"r": 64, "lora_alpha": 32}}),
    "GRPO, LoRA r=16": ("grpo", {"lora": {"r": 16, "lora_alpha": 32}}),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "sft": {"per_device_train_batch_size": 8, "learning_rate": 1e-5, "max_steps": 8},
    "grpo": {
        "per_device_train_batch_size": 16,
        "num_generations": 8,
        "max_completion_length": 128,
        "learning_rate": 1e-6,
        "max_steps": 3,
    },
}
CPU_ACCURACIES = {"base": 27.4, "SFT 1": 44.1, "GRPO 1": 66.4, "SFT 2": 69.1, "GRPO 2": 78.7}
"""Percent of the miniature's 1,000 held-out items, as `make demo` prints them on two CPU cores."""
PARTS = {"trainings": 150, "generation": 60, "memory": 60, "loop": 90}
"""Minimum seconds left to begin a part."""
RECIPE = "qwen2.5-vl-3b-single-gpu"
GIB = 2**30
Figures = dict[str, Any]


def trainings(root: Path, shape: str, model: str) -> Iterator[Figures]:
    """Each training with plain TRL and with vlt, one after the other, in separate processes."""
    for name, (kind, more) in TRAININGS.items():
        store = Store(root / name.replace(" ", "-"))
        data = rows_for(kind, shape, store)
        file = store.root / "rows.parquet"
        with ImageStore(store.images_folder) as images:
            write_trl(data, file, find_method(kind), prompt=PROMPT, load_image=images.read)
        settings = SETTINGS[kind]
        hand = by_hand(kind, settings, model, file, store.root / "by-hand", **more)
        ours = by_vlt(kind, settings, model, data, store, **more)
        yield {"part": name, **beside(hand, ours, settings)}


def beside(hand: Figures, ours: Figures, settings: dict[str, Any]) -> Figures:
    """Speed, memory and utilisation of both, and vlt's speed as a fraction of TRL's."""
    samples = settings["per_device_train_batch_size"] * settings["max_steps"]
    best = peak_flops(hand["device"])
    found: Figures = {
        "device": hand["device"],
        "of TRL": hand["training"] / ours["training"],
        "of TRL, by CPU": hand["training_cpu"] / ours["training_cpu"],
    }
    for name, run in (("TRL", hand), ("vlt", ours)):
        flops = run["tokens"] * (2 * run["parameters"] + 4 * run["trained"])
        found[name] = {
            "samples/s": samples / run["training"],
            "tokens/s": run["tokens"] / run["training"],
            "GiB": run["peak"] / GIB,
            "MFU": flops / run["training"] / best if best else None,
        }
    return found


def generation(model: str, shape: str) -> Figures:
    """Tokens per second of the local engine and of `generate`, on requests with one image each."""
    import torch

    from vlt.engine.local import LocalEngine
    from vlt.images.decode import open_image
    from vlt.request import Request, Sampling

    count, length, side = (8, 16, 56) if shape == "tiny" else (64, 128, 504)
    pictures = {str(i): picture(i, side) for i in range(count)}
    requests = [
        Request(
            i.to_bytes(16),
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "image": str(i)},
                        {"type": "text", "text": "How many red objects are there? Think first."},
                    ],
                }
            ],
            (0,),
            Sampling(temperature=1.0, max_tokens=length),
        )
        for i in range(count)
    ]
    engine = LocalEngine(model, load_image=pictures.__getitem__)
    processor = engine.processor

    def ours() -> int:
        return sum(getattr(a, "completion_tokens", 0) for a in engine.complete(requests))

    def theirs() -> int:
        fields = processor.apply_chat_template(
            [[{**r.messages[0], "content": _with(r, pictures, open_image)}] for r in requests],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
        ).to(engine.device)
        with torch.no_grad():
            ids = engine.model.generate(**fields, max_new_tokens=length, do_sample=True)
        new = ids[:, fields["input_ids"].shape[1] :]
        return int((new != processor.tokenizer.pad_token_id).sum())

    found: Figures = {"part": f"{count} answers of at most {length} tokens"}
    for name, run in (("generate", theirs), ("local engine", ours)):
        run()  # warm-up
        started = time.monotonic()
        tokens = run()
        found[name] = {"tokens/s": tokens / (time.monotonic() - started)}
    found["of generate"] = found["local engine"]["tokens/s"] / found["generate"]["tokens/s"]
    engine.close()
    return found


def _with(request: Any, pictures: dict[str, bytes], open_image: Callable[[bytes], Any]) -> Any:
    return [
        {"type": "image", "image": open_image(pictures[part["image"]])}
        if part["type"] == "image"
        else part
        for part in request.messages[0]["content"]
    ]


def memory(root: Path, shape: str, model: str) -> Iterator[Figures]:
    """Peak memory of the recipe's own trainings, two steps of each."""
    import torch

    from vlt.runs.plan import training
    from vlt.runs.recipe import load_recipe

    recipe = load_recipe(RECIPE)
    (phase,) = recipe.rounds[0].grpo
    place = {} if torch.cuda.is_available() else {"bf16": False, "use_cpu": True}
    for kind, given in (("sft", recipe.rounds[0].sft), ("grpo", phase.train)):
        store = Store(root / f"memory-{kind}")
        data = rows_for(kind, shape, store)
        whole = {**vars(training(given, recipe)), "prompt": PROMPT, "choose": None}
        short = {"max_steps": 2, "gradient_accumulation_steps": 2}
        if shape == "tiny" and kind == "grpo":
            short["max_completion_length"] = 16
        whole["settings"] = {**whole["settings"], **short, **place}
        made = by_vlt(kind, whole.pop("settings"), model, data, store, **whole)
        yield {"part": f"{RECIPE}, {kind}", "vlt": {"GiB": made["peak"] / GIB}}


def loop(root: Path, seconds: float) -> Figures:
    """The unchanged demo, on this machine's device."""
    command = [sys.executable, "-m", "vlt", "demo", str(root / "demo"), "--json"]
    started = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=seconds)
    result = json.loads(done.stdout)
    first, second = result["rounds"]
    found = {
        "base": result["base"],
        "SFT 1": first["sft"],
        "GRPO 1": first["grpo"],
        "SFT 2": second["sft"],
        "GRPO 2": second["grpo"],
    }
    return {
        "part": "the miniature's loop",
        "seconds": time.monotonic() - started,
        **{
            name: {"per cent": 100 * score["value"], **verdict(name, score)}
            for name, score in found.items()
        },
    }


def verdict(name: str, score: Figures) -> Figures:
    """Whether a CPU's accuracy is within this one's interval."""
    return {"CPU within": score["low"] <= CPU_ACCURACIES[name] / 100 <= score["high"]}


def main() -> None:
    """Run the parts in turn, while there is time."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--shape", choices=["tiny", *SHAPES], default="3b")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--to", type=Path, help="a file for one JSON line per part")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        started = time.monotonic()
        model = str(build(options.shape, root / "model"))
        report(options.to, {"part": "model", "seconds": time.monotonic() - started})
        parts: dict[str, Callable[[], Iterator[Figures]]] = {
            "trainings": lambda: trainings(root, options.shape, model),
            "generation": lambda: iter([generation(model, options.shape)]),
            "memory": lambda: memory(root, options.shape, model),
            "loop": lambda: iter([loop(root, end - time.monotonic())]),
        }
        for name in options.only:
            left = end - time.monotonic()
            if left < PARTS[name]:
                report(
                    options.to, {"part": name, "left out": f"{left:.0f} s of {PARTS[name]} left"}
                )
                continue
            try:
                for figures in parts[name]():
                    report(options.to, figures)
                    if time.monotonic() > end:
                        report(options.to, {"part": name, "left out": "what comes after this"})
                        break
            except subprocess.TimeoutExpired:
                report(options.to, {"part": name, "left out": "it did not finish in time"})


def report(file: Path | None, figures: Figures) -> None:
    """Print a part's figures, and save them in case the next part never ends."""
    line = json.dumps(figures, default=float)
    print(line, flush=True)
    if file:
        with open(file, "a") as out:
            out.write(line + "\n")


if __name__ == "__main__":
    main()
