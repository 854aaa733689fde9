"""What are majority answers worth without gold answers? At a small scale, on the miniature's items.

    python -m benchmarks.label [--items 400] [--samples 8] [--to bench-data/label]

Round 1's models caption the images and reason over the captions, with several samples per item. `vlt
label` labels each item with the majority answer, and the miniature's gold answers show how many of these
are correct at each threshold. Then two SFTs from the base, with the same number of steps: on samples that
agree with the gold answers, and on samples that agree with the labels; the second never sees a gold
answer. Requests repeated for the labelled items are answered from the journal.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.figures import cell
from vlt.datagen.captions import make_captions
from vlt.datagen.reasoning import make_reasoning
from vlt.datagen.sources import Import, make_items
from vlt.evaluation.compare import compare
from vlt.evaluation.evaluate import make_evaluation
from vlt.evaluation.label import Labelling, make_labels
from vlt.filters.apply import make_filtered
from vlt.runs.plan import training
from vlt.runs.recipe import load_recipe
from vlt.train.training import train
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

CHAIN = ["verify", {"select": "shortest"}]


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--heldout", type=int, default=400)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--to", type=Path, default=Path("bench-data/label"))
    arguments = parser.parse_args()
    with Workspace(arguments.to) as workspace:
        print("\n".join(run(workspace, arguments)))


def run(workspace: Workspace, arguments: argparse.Namespace) -> list[str]:
    """The lines of the tables."""
    recipe = load_recipe("miniature")
    first = recipe.rounds[0]
    items = _drawn(workspace, first.items[0], "items", arguments.items)
    assert recipe.heldout
    heldout = _drawn(workspace, recipe.heldout.items[0], "heldout", arguments.heldout)
    several = replace(first.reasoning, k=arguments.samples)

    def sampled(of: Dataset, name: str) -> Dataset:
        captioner, reasoner = recipe.models.captioner, recipe.models.reasoner
        assert captioner and reasoner
        asked = recipe.asking(first.captions, recipe.prompts.caption)
        captions, _ = make_captions(workspace, of, captioner, asked, name=f"captions-{name}")
        asked = recipe.asking(several, recipe.prompts.reasoning)
        return make_reasoning(workspace, captions, reasoner, asked, name=f"samples-{name}")[0]

    samples = sampled(items, "golds")
    labelled, _ = make_labels(
        workspace, samples, Labelling(min_samples=arguments.samples), name="labelled"
    )
    lines = calibration(labelled)
    evaluations = {}
    lines += ["", "| SFT on | items | rows | accuracy |", "|---|---|---|---|"]
    assert first.sft
    sft = training(first.sft, recipe)
    sft = replace(sft, settings={**sft.settings, "max_steps": arguments.steps})
    for name, of, drawn in (
        ("golds", items, samples),
        ("labels", labelled, sampled(labelled, "labels")),
    ):
        rows, _ = make_filtered(workspace, drawn, chain=CHAIN, name=f"sft-{name}")
        model, _ = train(workspace, "sft", rows, recipe.models.base, sft, name=f"model-{name}")
        student = replace(recipe.models.base, model=str(model.path), revision=None)
        asking = recipe.asking(recipe.heldout.draw, recipe.prompts.rollout)
        made, _ = make_evaluation(workspace, heldout, student, asking, name=f"eval-{name}")
        evaluations[name] = made
        score = cell(made.manifest.facts["accuracy"])
        lines.append(f"| {name} | {len(of):,} | {len(rows):,} | {score} |")
    found = compare(workspace, evaluations["golds"], evaluations["labels"])
    points, low, high = (100 * found[key] for key in ("difference", "low", "high"))
    lines += ["", f"Labels minus golds: {points:+.1f} points [{low:+.1f}, {high:+.1f}], paired."]
    return lines


def calibration(labelled: Dataset) -> list[str]:
    """The table of thresholds."""
    rows: list[dict[str, Any]] = labelled.manifest.facts["calibration"]
    lines = ["| majority | items labelled | correct |", "|---|---|---|"]
    for row in rows:
        share, score = 100 * row["labelled"], cell(row["precision"])
        lines.append(f"| {row['majority']:g} | {share:.1f} % | {score} |")
    return lines


def _drawn(workspace: Workspace, source: Import, name: str, n: int) -> Dataset:
    fewer = replace(source, settings={**source.settings, "n": n})
    return make_items(workspace, fewer, images=workspace.images, name=name)[0]


if __name__ == "__main__":
    main()
