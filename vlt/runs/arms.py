"""Arms: named variants of one recipe, compared on the same items and at the same budget.

    arms:
      grpo-only: {each_round: {teacher: off, sft: off}}
      sft-only: {each_round: {grpo: off}}

What two arms have in common is made once: a step with the same settings and inputs keeps the name it
has in the first arm (the recipe itself comes first); any other has the arm's name appended, so names
and versions never collide. Further seeds of an arm are variants in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean, stdev
from typing import Any

from vlt.errors import UsageError
from vlt.evaluation.compare import compared, pass_rates
from vlt.evaluation.image_worth import with_images
from vlt.evaluation.interval import wilson
from vlt.runs.budget import Budget, planned, spent, total
from vlt.runs.fields import Recipe
from vlt.runs.loop import plan
from vlt.runs.preview import found as versions_of
from vlt.runs.recipe import load_recipe
from vlt.runs.record import RunRecord, arms_of
from vlt.runs.step import Key, Step
from vlt.workspace.store import Dataset, Store

MAIN = "loop"
"""The name of the recipe itself among its arms."""


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
    """The arms wanted (None: all), each with its seeds; `ends` are passed to vlt.runs.loop.plan.

    Names do not depend on which are wanted: all are planned, in the recipe's order. Raises UsageError
    with every fault of an arm.
    """
    main = load_recipe(recipe, changes, to_run=to_run)
    known = [MAIN, *main.arms]
    for arm in arms or ():
        if arm not in known:
            raise UsageError(
                f"recipe {recipe!r} has no arm {arm!r}; its arms are {', '.join(known)}"
            )
    names: dict[tuple[Any, ...], str] = {}
    found = []
    for arm in known:
        for place in range(seeds):
            given = {**(changes or {}), **({"seed": main.seed + place} if place else {})}
            named = None if arm == MAIN else arm
            itself = named is None and not place
            # With `to_run` the recipe has been checked with all its arms; a seed adds nothing.
            loaded = main if itself else load_recipe(recipe, given, arm=named)
            suffix = ".".join(([named] if named else []) + ([f"s{loaded.seed}"] if place else []))
            steps = _named(plan(loaded, **ends), suffix, names)
            if arms is None or arm in arms:
                found.append(Variant(arm, loaded.seed, loaded, steps))
    return found


def _named(steps: Sequence[Step], suffix: str, names: dict[tuple[Any, ...], str]) -> list[Step]:
    """The steps, each with the variant name of the first like it; `names` remembers them."""
    made: dict[Key, str] = {}
    found = []
    for step in steps:
        says = (step.key, repr(step.stage), *(made.get(key, "") for key in step.stage.inputs))
        variant = names.setdefault(says, suffix)
        step = replace(step, variant=variant)
        made[step.key] = step.dataset
        found.append(step)
    return found


@dataclass(frozen=True)
class Ran:
    """What exists of an arm with one seed."""

    arm: str
    seed: int
    made: Sequence[tuple[Key, Dataset]]
    """Steps and their versions, in order; a round may have several trainings of one name."""
    end: Key | None
    """The step that evaluates the last model."""
    planned: Budget | None = None

    def version(self, key: Key | None) -> Dataset | None:
        """What a step made; None if it has not yet."""
        return next((version for made, version in reversed(self.made) if made == key), None)

    @property
    def last(self) -> Dataset | None:
        """The evaluation of the last model."""
        return self.version(self.end)

    @property
    def own(self) -> list[Dataset]:
        """The versions of its rounds; what comes before them is the same for every arm."""
        return [version for (number, _), version in self.made if number]


def ran(store: Store, wanted: Sequence[Variant]) -> list[Ran]:
    """What exists of the variants, and what each was planned to cost."""
    found = []
    for v in wanted:
        there = versions_of(store.root, v.recipe, v.steps)
        budget = total(v.steps, planned(v.recipe.models.base, v.steps, there, store))
        made = [(s.key, version) for s, version in zip(v.steps, there, strict=True) if version]
        found.append(Ran(v.arm, v.seed, made, end_of([s.key for s in v.steps]), budget))
    return found


def recorded(store: Store, known: Sequence[RunRecord], recipe: str) -> list[Ran]:
    """What a recipe's runs made or found of its arms, by their records; [] for a single arm."""
    found = arms_of(known, recipe)
    arms = sorted({run.arm for run in found}, key=lambda arm: (arm != MAIN, arm))
    if len(found) < 2:
        return []
    made = []
    for arm in arms:
        for run in (run for run in found if run.arm == arm):
            there = [((s.round, s.step), store.open(s.version)) for s in run.steps if s.version]
            end = end_of([(s.round, s.step) for s in run.steps])
            made.append(Ran(arm, run.seed or 0, there, end))
    return made


def end_of(steps: Sequence[Key]) -> Key | None:
    """The step that evaluates the last model of these steps."""
    evaluations = [key for key in steps if key[0] and key[1].startswith("eval-")]
    return evaluations[-1] if evaluations else None


def side_by_side(runs: Sequence[Ran]) -> list[dict[str, Any]]:
    """One row per arm: its last model's accuracy pooled over seeds, its cost, and a test against the first.

    `accuracy` is {value, low, high, n} (Wilson) of all seeds' verdicts together; `seeds` has each
    seed's; `spread` is their standard deviation; `against` is the paired comparison with the first arm,
    an item and seed being one pair; `alone` is how many items this arm solves (in most of its samples)
    and no other does; `image` is what the items' own images are worth to it, where a canary asked
    without them. `planned` and the cost are averages per seed; what arms share counts for each. Arms
    not evaluated yet have None.
    """
    arms = {
        arm: [run for run in runs if run.arm == arm] for arm in dict.fromkeys(r.arm for r in runs)
    }
    rates = {arm: _rates(of_arm) for arm, of_arm in arms.items()}
    solved = {arm: _solved(each) for arm, each in rates.items() if each}
    rows = []
    first: dict[str, float] | None = None
    for arm, of_arm in arms.items():
        scores = [end.manifest.facts["accuracy"] for run in of_arm if (end := run.last)]
        row: dict[str, Any] = {"arm": arm, "accuracy": None, "seeds": scores, "spread": None}
        if scores:
            right = sum(round(score["value"] * score["n"]) for score in scores)
            row["accuracy"] = asdict(wilson(right, sum(score["n"] for score in scores)))
            values = [score["value"] for score in scores]
            row["spread"] = stdev(values) if len(values) > 1 else None
        plans = [run.planned for run in of_arm if run.planned]
        took = sum((spent(run.own) for run in of_arm), Budget()).share(len(of_arm))
        row |= took.as_json()
        row["response_length"] = _length(of_arm)
        row["planned"] = sum(plans, Budget()).share(len(plans)).as_json() if plans else None
        others = [each for other, each in solved.items() if other != arm]
        row["alone"] = None
        if arm in solved and others:
            row["alone"] = len(solved[arm].difference(*others))
        row["image"] = _image(of_arm)
        row["against"] = None
        if first is not None and rates[arm].keys() == first.keys() and first:
            row["against"] = asdict(compared(first, rates[arm]))
        first = rates[arm] if first is None else first
        rows.append(row)
    return rows


def _rates(of_arm: Sequence[Ran]) -> dict[str, float]:
    """Pass rates by position of the seed and id."""
    done = [(place, run.last) for place, run in enumerate(of_arm)]
    return {f"{place}:{i}": r for place, end in done if end for i, r in pass_rates(end).items()}


def _solved(rates: Mapping[str, float]) -> set[str]:
    """Items solved in more than half of all samples and seeds."""
    found: dict[str, list[float]] = {}
    for key, rate in rates.items():
        found.setdefault(key.partition(":")[2], []).append(rate)
    return {i for i, of_item in found.items() if mean(of_item) > 0.5}


def _image(of_arm: Sequence[Ran]) -> dict[str, Any] | None:
    """The last models' accuracy with the items' own images against that with the canary's images."""
    own: dict[str, float] = {}
    other: dict[str, float] = {}
    for place, run in enumerate(of_arm):
        end = run.end
        canary = run.version((end[0], end[1].replace("eval-", "canary-", 1))) if end else None
        if not canary or not run.last:
            continue
        asked, rates = pass_rates(canary), pass_rates(run.last)
        both = asked.keys() & rates.keys() & with_images(canary)
        own |= {f"{place}:{i}": rates[i] for i in both}
        other |= {f"{place}:{i}": asked[i] for i in both}
    return asdict(compared(other, own)) if own else None


def _length(of_arm: Sequence[Ran]) -> float | None:
    """Mean tokens of an answer to a held-out item."""
    columns = [end.table(["completion_tokens"]).column(0) for run in of_arm if (end := run.last)]
    lengths = [n for column in columns for n in column.to_pylist() if n is not None]
    return mean(lengths) if lengths else None
