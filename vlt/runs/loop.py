"""Runs a recipe: round by round, each step a version in the workspace.

No progress is stored. Every step asks the store whether its version exists (same parameters, same
parents' content) and makes it if not, so after a kill or an edit of the recipe a run makes just what is
missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from vlt.cluster.address import on_cluster
from vlt.errors import UsageError
from vlt.evaluation.compare import compare
from vlt.runs.fields import Recipe
from vlt.runs.plan import before, round_steps
from vlt.runs.step import Run, Step
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace

STEP = re.compile(r"(?P<name>[^@]+)(@r(?P<round>\d+))?")


def plan(
    recipe: Recipe,
    *,
    rounds: int | None = None,
    until: str | None = None,
    start: str | None = None,
) -> list[Step]:
    """All steps in order, from `start` up to `until`; both are step names or name@rN.

    Steps before `start` are marked as earlier: their newest versions are used as they are. Raises
    UsageError for an unknown step.
    """
    last = min(rounds or len(recipe.rounds), len(recipe.rounds))
    until_name, until_round = _named("--until", until, last)
    start_name, start_round = _named("--from", start, last)
    steps = list(before(recipe))
    for number in range(1, last + 1):
        steps += round_steps(recipe, number, recipe.rounds[number - 1])
    begin = min(_places("--from", steps, start_name, start_round)) if start_name else 0
    end = max(_places("--until", steps, until_name, until_round)) if until_name else len(steps) - 1
    if end < begin:
        raise UsageError(
            f"--until {until!r} comes before --from {start!r}, which leaves nothing to do; swap them"
        )
    return [*(replace(step, earlier=True) for step in steps[:begin]), *steps[begin : end + 1]]


def _named(option: str, step: str | None, last: int) -> tuple[str, int]:
    """A step's name and round, by default the last; ("", last) without a step."""
    if step is None:
        return "", last
    found = STEP.fullmatch(step)
    if not found:
        raise UsageError(f"{option} {step!r} is not a step; write e.g. sft or sft@r1")
    number = int(found["round"]) if found["round"] else last
    if not 1 <= number <= last:
        raise UsageError(f"{option} {step!r}: there are rounds 1 to {last}")
    return found["name"], number


def _places(option: str, steps: Sequence[Step], name: str, number: int) -> list[int]:
    """The positions of the steps of this name (a round may have several trainings)."""
    found = [i for i, step in enumerate(steps) if step.key == (number, name)]
    if not found:
        names = dict.fromkeys(step.name for step in steps if step.round == number)
        raise UsageError(
            f"{option} {name!r} is not a step of round {number}; its steps are {', '.join(names)}"
        )
    return found


def carry_out(
    workspace: Workspace,
    recipe: Recipe,
    steps: list[Step],
    *,
    on_step: Callable[[Step, Dataset | None, bool], None] = lambda *_: None,
) -> Run:
    """Run the steps in order; `on_step` is called at each one's start (with None) and end.

    Raises UserError at the first step that fails; what was made before stays. The recipe's `stop` may
    end the run after a round; then Run.stopped says why.
    """
    with workspace, on_cluster(recipe.cluster):
        run = Run(workspace, recipe)
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            if step.earlier:
                found = newest(workspace, steps, step)
                if found is None:
                    continue  # a step that needs it will report it missing
                dataset, existed = found, True
                on_step(step, None, False)
            else:
                on_step(step, None, False)
                dataset, existed = step.carry_out(run)
            run.made[step.key] = dataset
            on_step(step, dataset, existed)
            if following and following.round > step.round and not following.earlier:
                run.stopped = no_help(run, step.round)
                if run.stopped:
                    break
    return run


def newest(store: Store, steps: Sequence[Step], step: Step) -> Dataset | None:
    """The newest version that this step made, in this round or in one where it is the same step."""
    same = {s.round for s in steps if s.name == step.name and s.says and s.says == step.says}
    rounds = {number or None for number in {step.round, *same}}
    found = [v for v in store.versions(step.dataset) if v.manifest.round in rounds]
    return found[-1] if found else None


def _last(run: Run, number: int) -> Dataset | None:
    """The evaluation of a round's last model."""
    of_round = [v for (n, name), v in run.made.items() if n == number and name.startswith("eval-")]
    return of_round[-1] if number and of_round else None


def no_help(run: Run, number: int) -> str | None:
    """Why the run should stop after this round, if the recipe has a `stop` and the round gained less."""
    stop, earlier, later = run.recipe.stop, _last(run, number - 1), _last(run, number)
    if not stop or not earlier or not later:
        return None
    found = compare(run.workspace, earlier, later)
    gain, low, high = (100 * found[name] for name in ("difference", "low", "high"))
    enough = gain >= stop.min_gain and (low > 0 or not stop.significant)
    if enough:
        return None
    wanted = f"at least {stop.min_gain:g} points" + (
        " and an interval above 0" if stop.significant else ""
    )
    return (
        f"stopped after round {number}: its last model gains {gain:+.1f} points [{low:+.1f}, "
        f"{high:+.1f}] over round {number - 1}'s on {found['n']:,} held-out items, and the recipe's "
        f"stop wants {wanted}; to go on: --set stop=off"
    )
