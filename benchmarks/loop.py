"""Does the loop learn? The miniature with three seeds: accuracy of each model with 95 % intervals.

    python -m benchmarks.loop [--seeds 1 2 3] [--to bench-data/loop]

Each seed has its own workspace and takes about as long as `vlt demo`; what exists already is not made again.
The seed changes sampling and training, not the items. `direct` is the base model asked for the answer
only. `pooled` is over the answers of all seeds. Then, in the same workspaces, what the loop's parts are
worth (benchmarks/ablation.py); --no-arms skips this.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.ablation import loop_seconds, run_arms
from benchmarks.ablation import table as table_of_arms
from benchmarks.figures import cell, gains, pooled

MODELS = ("direct", "SFT 1", "GRPO 1", "SFT 2", "GRPO 2")


def main() -> None:
    """Run the seeds one by one and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--to", type=Path, default=Path("bench-data/loop"))
    parser.add_argument("--no-arms", action="store_true", help="only the loop itself")
    arguments = parser.parse_args()
    scores, arms = {}, {}
    for seed in arguments.seeds:
        started = time.monotonic()
        scores[seed] = run(seed, arguments.to / f"seed-{seed}")
        if not arguments.no_arms:
            arms[seed] = run_arms(seed, arguments.to / f"seed-{seed}")
        print(f"seed {seed}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(table(scores))
    if arms:
        print(f"\n{table_of_arms(arms, scores)}")
        spent = [f"{loop_seconds(arguments.to / f'seed-{seed}'):.0f} s" for seed in arms]
        print(f"The loop's four trainings took {', '.join(spent)}.")


def run(seed: int, workspace: Path) -> dict[str, Any]:
    """Scores by model, and the seconds, of one complete run of the recipe."""
    command = ["-m", "vlt.cli.main", "run", "miniature", "--set", f"seed={seed}", "--json"]
    done = subprocess.run(
        [sys.executable, *command, "-w", str(workspace)], stdout=subprocess.PIPE, check=True
    )
    result = json.loads(done.stdout)
    first, second = result["rounds"]
    return {
        "direct": result["direct"],
        "SFT 1": first["sft"],
        "GRPO 1": first["grpo"],
        "SFT 2": second["sft"],
        "GRPO 2": second["grpo"],
        "seconds": first["seconds"] + second["seconds"],
    }


def table(scores: dict[int, dict[str, Any]]) -> str:
    """The scores as Markdown: a line per seed, then pooled, then the gains."""
    lines = ["| seed | " + " | ".join(MODELS) + " | time |", "|---" * (len(MODELS) + 2) + "|"]
    for seed, row in scores.items():
        cells = [cell(row[model]) for model in MODELS]
        lines.append(f"| {seed} | " + " | ".join(cells) + f" | {row['seconds']:.0f} s |")
    together = [pooled(row[model] for row in scores.values()) for model in MODELS]
    lines.append("| pooled | " + " | ".join(cell(score) for score in together) + " | |")
    lines.append("")
    for later, earlier in (
        ("GRPO 1", "SFT 1"),
        ("GRPO 2", "SFT 2"),
        ("GRPO 2", "GRPO 1"),
        ("GRPO 2", "direct"),
    ):
        pair = [[row[model] for row in scores.values()] for model in (later, earlier)]
        lines.append(gains(later, pair[0], earlier, pair[1]))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
