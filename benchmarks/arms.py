"""Which training is worth it: both miniatures, every arm, several seeds, on 1,000 held-out items.

    python -m benchmarks.arms [--seeds 3] [--to bench-data/arms] [--recipes miniature miniature-glance]

Each recipe is run with all its arms (`vlt run RECIPE --arms --seeds N`) in a workspace of its own, and as
many at once as there are cores, each in one thread; what is there already is not made again. Printed in
Markdown: the arms pooled over the seeds, with 95 % intervals and the paired test against the loop; the
loop round by round; and, where the recipe has them, the three SFTs of the paper's table 3.

The seed changes sampling and training; the items are the recipe's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import cell, pooled
from vlt.cores import VARIABLE, usable_cores
from vlt.evaluation.compare import compared, pass_rates
from vlt.runs.arms import MAIN, Ran, ran, side_by_side, variants
from vlt.workspace.store import Dataset, Store

RECIPES = ("miniature", "miniature-glance")
TABLE_3 = ("unfiltered", "length-filtered", "reflections-cut")
"""Arms that are one SFT alone; each is compared with the one before it."""
TINY = 1e-9
"""Smaller chances are not told apart."""
TRAININGS = ("base", "sft@r1", "grpo@r1", "sft@r2", "grpo@r2")


def main() -> None:
    """Run the recipes side by side, and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--to", type=Path, default=Path("bench-data/arms"))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    given = parser.parse_args()
    started = time.monotonic()
    run(given.recipes, given.seeds, given.to, given.changes)
    for recipe in given.recipes:
        print(f"## {recipe}\n")
        print(tables(recipe, given.seeds, given.to / recipe, given.changes))
    minutes = (time.monotonic() - started) / 60
    print(f"{minutes:.0f} minutes on {usable_cores()} cores.", file=sys.stderr)


def run(recipes: Sequence[str], seeds: int, to: Path, changes: Sequence[str]) -> None:
    """Every recipe with all its arms; exits with the status of the first that fails."""
    threads = str(max(1, usable_cores() // len(recipes)))
    alone = dict.fromkeys(("OMP_NUM_THREADS", VARIABLE), threads)
    running = []
    for recipe in recipes:
        command = [sys.executable, "-m", "vlt.cli.main", "run", recipe, "--arms"]
        command += ["--seeds", str(seeds), "-w", str(to / recipe), *_settings(changes)]
        running.append(subprocess.Popen(command, env=os.environ | alone, stdout=sys.stderr))
    if failed := [child.args for child in running if child.wait()]:
        sys.exit(f"failed: {failed}")


def tables(recipe: str, seeds: int, workspace: Path, changes: Sequence[str]) -> str:
    """All that is printed of one recipe."""
    from vlt.cli.options import parse_settings

    store = Store(workspace)
    made = ran(store, variants(recipe, parse_settings(list(changes)), seeds=seeds))
    of_table_3 = [run for run in made if run.arm in TABLE_3]
    parts = [_arms([run for run in made if run.arm not in TABLE_3]), _rounds(made)]
    if of_table_3:
        parts.append(_table_3(of_table_3))
    return "\n".join(parts)


def _arms(made: Sequence[Ran]) -> str:
    """The whole trainings, side by side."""
    lines = [
        "| arm | accuracy | seeds | against the loop | GRPO steps | completions | tokens an answer |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in side_by_side(made):
        each = ", ".join(f"{100 * score['value']:.1f}" for score in row["seeds"])
        counted = f"{row['grpo_steps']:,.0f} | {row['completions']:,.0f}"
        lines.append(
            f"| {row['arm']} | {cell(row['accuracy'])} | {each} | {_against(row['against'])} | "
            f"{counted} | {row['response_length']:.0f} |"
        )
    return "\n".join([*lines, ""])


def _rounds(made: Sequence[Ran]) -> str:
    """The loop's trainings one after the other, pooled, each with its gain over the last of its kind."""
    loops = [run for run in made if run.arm == MAIN]
    lines = ["| the loop's | accuracy | seeds | gain |", "|---|---|---|---|"]
    for name in TRAININGS:
        evaluations = [_evaluation(run, name) for run in loops]
        scores = [one.manifest.facts["accuracy"] for one in evaluations]
        before = name.replace("2", "1") if name.endswith("2") else None
        gain = None
        if before:
            gain = _paired([_evaluation(run, before) for run in loops], evaluations)
        each = ", ".join(f"{100 * score['value']:.1f}" for score in scores)
        said = f"{_against(gain)} over {_said(before)}" if before else ""
        lines.append(f"| {_said(name)} | {cell(pooled(scores))} | {each} | {said} |")
    return "\n".join([*lines, ""])


def _table_3(made: Sequence[Ran]) -> str:
    """The paper's table 3: SFT on the first round's samples, filtered ever further."""
    lines = [
        "| SFT on round 1's verified samples | rows | accuracy | seeds | gain | tokens an answer |",
        "|---|---|---|---|---|---|",
    ]
    for place, arm in enumerate(TABLE_3):
        of_arm = [run for run in made if run.arm == arm]
        (row,) = side_by_side(of_arm)
        rows = [v.manifest.rows for run in of_arm if (v := run.version((1, "sft")))]
        gain = "-"
        if place:
            before = [run for run in made if run.arm == TABLE_3[place - 1]]
            gain = f"{_against(side_by_side([*before, *of_arm])[1]['against'])} over {TABLE_3[place - 1]}"
        each = ", ".join(f"{100 * score['value']:.1f}" for score in row["seeds"])
        lines.append(
            f"| {arm} | {sum(rows) / len(rows):,.0f} | {cell(row['accuracy'])} | {each} | {gain} | "
            f"{row['response_length']:.0f} |"
        )
    return "\n".join([*lines, ""])


def _evaluation(run: Ran, name: str) -> Dataset:
    """`grpo@r2`: the evaluation of round 2's GRPO model; `base`: that of the model before all."""
    training, _, number = name.partition("@r")
    found = run.version((int(number or 0), f"eval-{training}"))
    if found is None:
        raise LookupError(f"{run.arm}, seed {run.seed}: nothing is there of eval-{name}")
    return found


def _paired(earlier: Sequence[Dataset], later: Sequence[Dataset]) -> Mapping[str, Any]:
    """Both on the same items, an item and seed being one pair."""
    rates = [
        {
            f"{place}:{i}": rate
            for place, one in enumerate(of)
            for i, rate in pass_rates(one).items()
        }
        for of in (earlier, later)
    ]
    return vars(compared(*rates))


def _said(name: str) -> str:
    return name if "@r" not in name else f"{name[:-3].upper()} {name[-1]}"


def _against(gain: Mapping[str, Any] | None) -> str:
    if gain is None:
        return "-"
    points = [100 * gain[name] for name in ("difference", "low", "high")]
    chance = f"p = {gain['p']:.1g}" if gain["p"] >= TINY else f"p < {TINY:.0e}"
    return f"{points[0]:+.1f} [{points[1]:+.1f}, {points[2]:+.1f}], {chance}"


def _settings(changes: Sequence[str]) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


if __name__ == "__main__":
    main()
