"""What the loop's parts are worth: the paper's ablation (table 3) and two controls, at a small scale.

Three SFTs on round 1's samples, filtered differently: verified only; also without the longest; also
with everything after a reflection cut off. All take the same number of steps. Then controls that lack
a part of the loop: SFT alone, on both rounds' filtered samples, for the loop's three epochs and for
about as many seconds as the loop's four trainings together; and GRPO from the base, both phases,
without SFT. All of them use the workspace of the loop's own run, which already has the samples.

The first three leave out `select: shortest`, which by itself drops most samples with reflections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.figures import cell, gains, pooled
from vlt.evaluation.evaluate import make_evaluation
from vlt.filters.apply import make_filtered
from vlt.runs.fields import Recipe
from vlt.runs.plan import training
from vlt.runs.recipe import load_recipe
from vlt.runs.step import Run
from vlt.train.settings import Training
from vlt.train.training import train
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace

LONGEST = 21
"""Words of reasoning (the paper: 500): a tenth of the samples are longer."""
FILTERED: dict[str, list[Any]] = {
    "SFT 1, unfiltered": ["verify"],
    "SFT 1, length-filtered": ["verify", {"max_words": LONGEST}],
    "SFT 1, reflections cut": ["verify", "truncate_reflections"],
}
STEPS = 93
"""Steps of each of the three; as many as in the loop's first SFT."""
ALONE: dict[str, dict[str, Any]] = {
    "SFT alone": {"num_train_epochs": 3},
    "SFT alone, as long": {"max_steps": 650},
}
CONTROLS = (*ALONE, "GRPO from the base")
ARMS = (*FILTERED, *CONTROLS)

Arm = dict[str, Any]
"""accuracy (a score), tokens per answer, seconds of training; for SFT also rows, words, reflecting."""


def run_arms(seed: int, workspace: Path, recipe: str = "miniature") -> dict[str, Arm]:
    """Every arm's figures, in a workspace where `vlt run` has run the recipe."""
    loaded = load_recipe(recipe, {"seed": seed})
    with Workspace(workspace) as opened:
        run = Run(opened, loaded)
        found = {name: _filtered(run, name, chain) for name, chain in FILTERED.items()}
        found.update(_alone(run))
        found["GRPO from the base"] = _from_base(run)
    return found


def _filtered(run: Run, name: str, chain: Sequence[Any]) -> Arm:
    samples = run.workspace.open("samples@r1")
    data, _ = make_filtered(run.workspace, samples, chain=chain, name=_slug(name))
    return _sft(run, name, data, {"max_steps": STEPS})


def _alone(run: Run) -> dict[str, Arm]:
    samples = [run.workspace.open("samples@r1"), run.workspace.open("samples@r2")]
    chain = run.recipe.rounds[0].filters
    data, _ = make_filtered(run.workspace, samples, chain=chain, name=_slug("SFT alone"))
    return {name: _sft(run, name, data, settings) for name, settings in ALONE.items()}


def _sft(run: Run, name: str, data: Dataset, settings: dict[str, Any]) -> Arm:
    sft = run.recipe.rounds[0].sft
    sft = replace(sft, settings=_without_epochs(sft) | settings)
    model, _ = train(
        run.workspace,
        "sft",
        data,
        run.recipe.models.base.model,
        training(sft, run.recipe),
        name=f"{_slug(name)}-model",
    )
    return {**_evaluated(run, name, model), **_texts(data), "seconds": _seconds(model)}


def _from_base(run: Run) -> Arm:
    name, model, seconds = "GRPO from the base", run.recipe.models.base.model, 0.0
    for number, settings in enumerate(run.recipe.rounds, 1):
        (phase,) = settings.grpo
        made, _ = train(
            run.workspace,
            "grpo",
            run.workspace.open(f"grpo-items@r{number}"),
            model,
            training(phase.train, run.recipe),
            name=f"{_slug(name)}-model",
        )
        model, seconds = str(made.path), seconds + _seconds(made)
    return {**_evaluated(run, name, made), "seconds": seconds}


def _evaluated(run: Run, name: str, model: Dataset) -> Arm:
    recipe: Recipe = run.recipe
    evaluation, _ = make_evaluation(
        run.workspace,
        run.workspace.open("heldout"),
        run.student(model),
        recipe.asking(recipe.heldout.draw, recipe.prompts.rollout),
        name=f"eval-{_slug(name)}",
    )
    facts = evaluation.manifest.facts
    return {"accuracy": facts["accuracy"], "tokens": facts["tokens"]}


def _texts(data: Dataset) -> Arm:
    """Rows, mean words of their reasoning, and the share with reflections."""
    thoughts = [text or "" for text in data.table(["reasoning"]).column("reasoning").to_pylist()]
    return {
        "rows": len(thoughts),
        "words": sum(len(text.split()) for text in thoughts) / len(thoughts),
        "reflecting": sum("Wait," in text for text in thoughts) / len(thoughts),
    }


def _without_epochs(train: Training) -> dict[str, Any]:
    return {k: v for k, v in train.settings.items() if k != "num_train_epochs"}


def _seconds(model: Dataset) -> float:
    return float(model.manifest.facts["train_seconds"])


def _slug(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "-")


def loop_seconds(workspace: Path) -> float:
    """Seconds of the loop's own four trainings."""
    store = Store(workspace)
    names = [f"{name}@r{number}" for name in ("sft-model", "grpo-model") for number in (1, 2)]
    return sum(_seconds(store.open(name)) for name in names)


def table(arms: dict[int, dict[str, Arm]], scores: dict[int, dict[str, Any]]) -> str:
    """The arms as Markdown, each seed and pooled; then the gains of the parts that arms lack."""
    seeds = [f"seed {seed}" for seed in arms]
    head = ["arm", "rows", "words", "reflections", "answers", *seeds, "pooled", "training"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in ARMS:
        each = [of_seed[name] for of_seed in arms.values()]
        seconds = sum(arm["seconds"] for arm in each) / len(each)
        texts = [_mean(each, key) for key in ("rows", "words", "reflecting")]
        cells = [
            "-" if texts[0] is None else f"{texts[0]:,.0f}",
            "-" if texts[1] is None else f"{texts[1]:.1f}",
            "-" if texts[2] is None else f"{texts[2]:.0%}",
            f"{sum(arm['tokens'] for arm in each) / len(each):.0f} tokens",
            *(cell(arm["accuracy"]) for arm in each),
            cell(pooled(arm["accuracy"] for arm in each)),
            f"{seconds:.0f} s",
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("")
    best = [of_seed["GRPO 2"] for of_seed in scores.values()]
    for name in CONTROLS:
        lines.append(gains("GRPO 2", best, name, [a[name]["accuracy"] for a in arms.values()]))
    plain, *others = FILTERED
    for name in others:
        later = [a[name]["accuracy"] for a in arms.values()]
        lines.append(gains(name, later, plain, [a[plain]["accuracy"] for a in arms.values()]))
    return "\n".join(lines)


def _mean(arms: Sequence[Arm], key: str) -> float | None:
    values = [arm[key] for arm in arms if key in arm]
    return sum(values) / len(values) if values else None
