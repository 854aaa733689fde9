"""GRPO with a policy that may hedge: does the grader's reward teach it to, or away from it?

    python -m benchmarks.hedging [--items 400] [--steps 30]

The miniature's real model is first taught by SFT to give two numbers in half of its answers ("2, 3"),
one of them correct; then TRL's GRPO trains it on the 0/1 accuracy reward only. With a grader that
accepted hedges, hedging would pay off. Prints the share of hedged answers and the reward over GRPO's
steps. About five minutes on two cores.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import vlt

MODEL = Path(vlt.__file__).parent / "recipes" / "miniature" / "vlm"
PROMPT = vlt.Prompt("{question} Think first.")
HEDGE = re.compile(r"<answer>\s*\d+\s*,\s*\d+\s*</answer>")
TRL = {"logging_steps": 1, "report_to": "none", "seed": 1}


@vlt.filter
def hedged(row: dict[str, Any]) -> bool | dict[str, Any]:
    """For every second item: the correct number and another one, in either order."""
    number = int(row["id"][:8], 16)
    if number % 2 or not row["answer"].isdigit():
        return True
    right, other = int(row["answer"]), (int(row["answer"]) + 1 + number // 2 % 3) % 7
    pair = (right, other) if number // 8 % 2 else (other, right)
    said = f"<answer>{pair[0]}, {pair[1]}</answer>"
    return {"response": re.sub(r"<answer>.*?</answer>", said, row["response"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--steps", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vlt-hedging-") as folder:
        ws = vlt.Workspace(folder)
        families = {"shapes-count": 1}
        settings = {"n": given.items, "split": "train", "seed": 3, "families": families}
        items = ws.import_items("miniature", settings=settings)
        samples = ws.rollout(items, MODEL, k=4, prompt=PROMPT, max_tokens=64, seed=1)
        data = ws.filter(samples, ["verify", {"select": "shortest"}, hedged])
        policy = ws.train(
            "sft",
            data,
            MODEL,
            prompt=PROMPT,
            freeze=["vision_tower", "projector"],
            learning_rate=5e-4,
            num_train_epochs=4,
            per_device_train_batch_size=32,
            **TRL,
        )
        trained = ws.train(
            "grpo",
            items,
            policy,
            prompt=PROMPT,
            freeze=["vision_tower", "projector"],
            learning_rate=6e-5,
            max_steps=given.steps,
            num_generations=8,
            per_device_train_batch_size=128,
            max_completion_length=64,
            beta=0.0,
            loss_type="dapo",
            lr_scheduler_type="constant",
            **TRL,
        )
        report(trained.path / "rollouts.parquet", given.steps)


def report(rollouts: Path, steps: int) -> None:
    """Print, for each fifth of the steps, the share of hedges, their reward, and the mean reward."""
    rows = pq.read_table(rollouts).to_pylist()
    print(
        "| GRPO steps | completions | hedged | reward of hedges | reward |\n|---|---|---|---|---|"
    )
    fifth = max(1, steps // 5)
    for start in range(0, steps, fifth):
        part = [r for r in rows if start <= r["step"] < start + fifth]
        hedges = [r for r in part if HEDGE.search(r["response"])]
        paid = sum(r["accuracy"] or 0 for r in hedges)
        print(
            f"| {start + 1} to {min(start + fifth, steps)} | {len(part):,} "
            f"| {100 * len(hedges) / len(part):.1f} % | {paid / max(1, len(hedges)):.3f} "
            f"| {sum(r['accuracy'] or 0 for r in part) / len(part):.3f} |"
        )


if __name__ == "__main__":
    main()
