"""Arms: named variants of one recipe, on the same items and at the same budget, set side by side.

    arms:
      grpo-only: {each_round: {teacher: off, sft: off}}
      sft-only: {each_round: {grpo: off}}

What two arms have in common is made once: a step that says the same and is made of the same keeps the
name of the first arm that has it (the recipe itself comes first), and any other gets the arm's name at
its end, so names and versions never collide. Further seeds of an arm are variants in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pyarrow.parquet as pq

from vlt.errors import UsageError
from vlt.evaluation.compare import compared, pass_rates
from vlt.evaluation.interval import wilson
from vlt.runs.fields import Recipe
from vlt.runs.loop import plan
from vlt.runs.preview import preview
from vlt.runs.recipe import load_recipe
from vlt.runs.step import Key, Step
from vlt.workspace.store import Dataset, Store

MAIN = "loop"
"""What the recipe itself is called among its arms."""


@dataclass(frozen=True)
class Variant:
    """An arm with one seed."""

    arm: str
    seed: int
    recipe: Recipe
    steps: list[Step]

    @property
    def label(self) -> str:
        """grpo-only, seed 2"""
        return f"{self.arm}, seed {self.seed}"


def variants(
    recipe: str,
    changes: dict[str, Any] | None = None,
    *,
    arms: Sequence[str] | None = None,
    seeds: int = 1,
    to_run: bool = False,
    **ends: Any,
) -> list[Variant]:
    """The wanted arms (None: all), each with its seeds; `ends` go to vlt.runs.loop.plan.

    Names do not depend on which are wanted: all are planned in the recipe's order. Raises UsageError
    with every fault of an arm.
    """
    main = load_recipe(recipe, changes, to_run=to_run)
    known = [MAIN, *main.arms]
    for arm in arms or ():
        if arm not in known:
            raise UsageError(f"recipe {recipe!r} has no arm {arm!r}; there are {', '.join(known)}")
    names: dict[tuple[Any, ...], str] = {}
    found = []
    for arm in known:
        for place in range(seeds):
            given = {**(changes or {}), **({"seed": main.seed + place} if place else {})}
            named = None if arm == MAIN else arm
            itself = named is None and not place
            loaded = main if itself else load_recipe(recipe, given, to_run=to_run, arm=named)
            suffix = ".".join(([named] if named else []) + ([f"s{loaded.seed}"] if place else []))
            steps = _named(plan(loaded, **ends), suffix, names)
            if arms is None or arm in arms:
                found.append(Variant(arm, loaded.seed, loaded, steps))
    return found


def _named(steps: Sequence[Step], suffix: str, names: dict[tuple[Any, ...], str]) -> list[Step]:
    """The steps with the variants of those that said the same first; `names` remembers them."""
    made: dict[Key, str] = {}
    found = []
    for step in steps:
        says = (step.key, repr(step.stage), *(made.get(key, "") for key in step.stage.inputs))
        variant = names.setdefault(says, suffix)
        step = replace(step, variant=variant)
        made[step.key] = step.dataset
        found.append(step)
    return found


def side_by_side(store: Store, wanted: Sequence[Variant]) -> list[dict[str, Any]]:
    """One row an arm: accuracy of its last model pooled over its seeds, what it cost, and against the first.

    `accuracy` is {value, low, high, n} (Wilson) of all seeds' verdicts together; `seeds` each one's;
    `spread` their standard deviation; `against` the paired comparison with the first arm, an item
    and seed being one pair. Arms that have not come to an evaluation have None.
    """
    there = {v.label: preview(store.root, v.recipe, v.steps) for v in wanted}
    rows = []
    first: dict[str, float] | None = None
    for arm in dict.fromkeys(v.arm for v in wanted):
        of_arm = [v for v in wanted if v.arm == arm]
        ends = [(v.seed, _last(v, there[v.label])) for v in of_arm]
        done = [(place, end) for place, (_, end) in enumerate(ends) if end]
        rates = {f"{place}:{id}": r for place, end in done for id, r in pass_rates(end).items()}
        scores = [end.manifest.facts["accuracy"] for _, end in done]
        row: dict[str, Any] = {"arm": arm, "accuracy": None, "seeds": scores, "spread": None}
        if scores:
            right = sum(round(score["value"] * score["n"]) for score in scores)
            row["accuracy"] = asdict(wilson(right, sum(score["n"] for score in scores)))
            values = [score["value"] for score in scores]
            row["spread"] = stdev(values) if len(values) > 1 else None
        row |= _cost([version for v in of_arm for version in _own(there[v.label])], len(of_arm))
        row["against"] = None
        if first is not None and rates.keys() == first.keys() and rates:
            row["against"] = asdict(compared(first, rates))
        first = rates if first is None else first
        rows.append(row)
    return rows


def _last(variant: Variant, there: dict[Key, Dataset]) -> Dataset | None:
    """The evaluation of the model that stands at the end."""
    steps = [s for s in variant.steps if s.round and s.name.startswith("eval-")]
    return there.get(steps[-1].key) if steps else None


def _own(there: dict[Key, Dataset]) -> list[Dataset]:
    return [version for (number, _), version in there.items() if number]


def _cost(versions: Sequence[Dataset], seeds: int) -> dict[str, Any]:
    """What an arm took for one seed, on average; what it shares with others counts for each."""
    distinct = list({v.ref: v for v in versions}.values())
    trained = [v for v in distinct if v.kind == "checkpoint"]
    grpo = [v for v in trained if v.manifest.stage == "train grpo"]
    tokens = [(v.manifest.facts.get("parameters", 0), _tokens(v.path)) for v in trained]
    lengths = [v.manifest.facts["completions/mean_length"]["last"] for v in grpo[-1:] if grpo]
    return {
        "grpo_steps": sum(v.manifest.facts.get("steps", 0) for v in grpo) / seeds,
        "completions": sum(_completions(v.path) for v in grpo) / seeds,
        "sampled_tokens": sum(v.manifest.completion_tokens for v in distinct) / seeds,
        "trained_tokens": sum(n for _, n in tokens) / seeds,
        "training_flops": sum(6 * size * n for size, n in tokens) / seeds,
        "seconds": sum(v.manifest.seconds for v in distinct) / seeds,
        "response_length": mean(lengths) if lengths else None,
    }


def _tokens(checkpoint: Path) -> float:
    """Tokens that went through the model in training, as TRL counts them (num_tokens)."""
    file = checkpoint / "metrics.parquet"
    if not file.is_file():
        return 0
    rows = pq.read_table(file, filters=[("name", "=", "num_tokens")]).to_pylist()
    return max((row["value"] for row in rows), default=0)


def _completions(checkpoint: Path) -> int:
    """Completions that GRPO sampled."""
    file = checkpoint / "rollouts.parquet"
    return pq.read_metadata(file).num_rows if file.is_file() else 0
