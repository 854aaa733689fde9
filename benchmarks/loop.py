"""Does the loop learn? The miniature with three seeds, accuracy of each model with 95 % intervals.

    python -m benchmarks.loop [--seeds 1 2 3] [--to bench-data/loop]

Each seed is a workspace of its own and takes what `vlt demo` takes; what is there already is not
made again. The seed changes sampling and training; the items are the recipe's. `direct` is
the base model asked for the answer alone. `pooled` counts the
answers of all seeds together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vlt.evaluate import wilson

MODELS = ("direct", "SFT 1", "GRPO 1", "SFT 2", "GRPO 2")


def main() -> None:
    """Run the seeds one after the other and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--to", type=Path, default=Path("bench-data/loop"))
    arguments = parser.parse_args()
    scores = {}
    for seed in arguments.seeds:
        started = time.monotonic()
        scores[seed] = run(seed, arguments.to / f"seed-{seed}")
        print(f"seed {seed}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(table(scores))


def run(seed: int, workspace: Path) -> dict[str, Any]:
    """Scores by model, and the run's own seconds, of one whole run of the recipe."""
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
    """The scores as Markdown, a line a seed, then pooled, then the gains."""
    lines = ["| seed | " + " | ".join(MODELS) + " | time |", "|---" * (len(MODELS) + 2) + "|"]
    for seed, row in scores.items():
        cells = [_cell(row[model]) for model in MODELS]
        lines.append(f"| {seed} | " + " | ".join(cells) + f" | {row['seconds']:.0f} s |")
    pooled = {}
    for model in MODELS:
        n = sum(row[model]["n"] for row in scores.values())
        right = sum(row[model]["value"] * row[model]["n"] for row in scores.values())
        pooled[model] = vars(wilson(right, n))
    lines.append("| pooled | " + " | ".join(_cell(pooled[model]) for model in MODELS) + " | |")
    lines.append("")
    for later, earlier in (
        ("GRPO 1", "SFT 1"),
        ("GRPO 2", "SFT 2"),
        ("GRPO 2", "GRPO 1"),
        ("GRPO 2", "direct"),
    ):
        gains = [100 * (row[later]["value"] - row[earlier]["value"]) for row in scores.values()]
        mean = sum(gains) / len(gains)
        each = ", ".join(f"{gain:+.1f}" for gain in gains)
        lines.append(f"{later} over {earlier}: {mean:+.1f} points ({each})")
    return "\n".join(lines)


def _cell(score: dict[str, float]) -> str:
    return f"{100 * score['value']:.1f} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


if __name__ == "__main__":
    main()
