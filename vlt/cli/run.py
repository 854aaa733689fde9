"""vlt run | demo: run a recipe."""

from __future__ import annotations

import shlex
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.asking import open_workspace
from vlt.cli.options import WORKSPACE, Json, Ray, Workspace, or_before_command, parse_settings
from vlt.cli.output import SOME_ROWS_FAILED, as_called, percent, print_json, print_table, say

if TYPE_CHECKING:
    from vlt.runs.arms import Variant
    from vlt.runs.recipe import Recipe
    from vlt.runs.step import Run, Step

DEMO = "miniature-glance"
"""The recipe of `vlt demo`."""
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe: seed=1."),
]


def run(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a bundled recipe.")],
    rounds: Annotated[int | None, typer.Option(min=1, help="Only the first N rounds.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STEP",
            help="Start at this step of the last round (or STEP@r1), using what exists before it.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="STEP", help="Stop after this step of the last round (or STEP@r1)."
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Run this arm of the recipe; repeatable. loop: the recipe itself."
        ),
    ] = None,
    arms: Annotated[
        bool,
        typer.Option("--arms", help="Run the recipe and all its arms, and compare them."),
    ] = False,
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Run each with N seeds: the recipe's, and those after it."),
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; do nothing.")] = False,
    settings: Settings = None,
    ray: Ray = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Run a recipe, round by round; what exists already is not made again.

    With --from, the steps before that one are not checked: their newest versions of the round are used
    as they are, even if the recipe has changed since.
    """
    from vlt.runs.arms import MAIN, variants
    from vlt.runs.loop import plan
    from vlt.runs.recipe import load_recipe

    changes = parse_settings(settings or [])
    if ray:
        changes["cluster"] = ray
    if arm or arms or seeds > 1:
        wanted = variants(
            recipe,
            changes,
            arms=None if arms else arm or [MAIN],
            seeds=seeds,
            to_run=True,
            rounds=rounds,
            start=start,
            until=until,
        )
        _check(recipe, [(v.recipe, v.steps) for v in wanted], workspace, dry_run)
        _run_arms(wanted, workspace, dry_run, as_json)
        return
    loaded = load_recipe(recipe, changes, to_run=True)
    steps = plan(loaded, rounds=rounds, start=start, until=until)
    _check(recipe, [(loaded, steps)], workspace, dry_run)
    if dry_run:
        _print_plan(loaded, workspace, steps, as_json)
        return
    done = _carry_out(loaded, workspace, steps)
    _print_result(done, as_json)
    if any(version.manifest.failed for version in done.made.values()):
        raise typer.Exit(SOME_ROWS_FAILED)


def demo(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The demo's workspace.", callback=or_before_command),
    ] = Path("vlt-demo"),
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Run miniature-glance: two rounds of the whole loop, for real, on two CPU cores in minutes."""
    from vlt.runs.loop import plan
    from vlt.runs.recipe import load_recipe

    say("vlt demo: tiny models that come with vlt, every stage for real; ctrl-C stops it, and the")
    say("same command resumes")
    loaded = load_recipe(DEMO, parse_settings(settings or []))
    done = _carry_out(loaded, directory, plan(loaded))
    _print_result(done, as_json)
    if not as_json:
        last = max(number for number, _ in done.made)
        say("\nLook at it:")
        for does in (f"view sft@r{last}", "report", "ls", "log grpo-model"):
            say(f"  {as_called()} {does} -w {directory}")
        again = "".join(f" --set {shlex.quote(each)}" for each in settings or [])
        say("\nWhat SFT before GRPO is worth here (GRPO alone takes two minutes):")
        say(f"  {as_called()} run {DEMO} --arm loop --arm grpo-only -w {directory}{again}")


def _check(
    recipe: str, runs: Sequence[tuple[Recipe, Sequence[Step]]], root: Path, dry_run: bool
) -> None:
    """Check that what the run needs is there; a dry run only prints what is missing."""
    from vlt.runs.recipe import check_ready, not_ready

    if not dry_run:
        check_ready(recipe, runs, root)
        return
    for fault in not_ready(recipe, runs, root):
        say(f"not ready yet: {f'line {fault.line}: ' if fault.line else ''}{fault.says}")


def _run_arms(wanted: Sequence[Variant], root: Path, dry_run: bool, as_json: bool) -> None:
    """Each variant in turn, then all of them side by side."""
    from vlt.cli.arms import print_arms, print_plan
    from vlt.cli.options import open_store
    from vlt.runs.arms import ran, side_by_side

    if dry_run:
        print_plan(wanted, root, as_json)
        return
    failed = False
    for variant in wanted:
        say(f"{variant.recipe.name}, {variant.label}:")
        labels = [each.label for each in wanted]
        done = _carry_out(variant.recipe, root, variant.steps, variant.arm, labels)
        failed = failed or any(version.manifest.failed for version in done.made.values())
    print_arms(side_by_side(ran(open_store(root), wanted)), as_json)
    if failed:
        raise typer.Exit(SOME_ROWS_FAILED)


def _carry_out(
    recipe: Recipe, root: Path, steps: list[Step], arm: str = "", arms: Sequence[str] = ()
) -> Run:
    from vlt.cli.plan_lines import PlanLines
    from vlt.cli.plan_table import PlanTable, fits
    from vlt.runs.arms import MAIN
    from vlt.runs.loop import carry_out
    from vlt.runs.record import RecordedRun

    shown = PlanTable(steps) if fits() else PlanLines(steps)
    workspace = open_workspace(root, shown.progress)
    started = time.monotonic()
    made = place = 0

    def on_step(step: Step, dataset: Any, existed: bool) -> None:
        nonlocal made, place
        if dataset is None:
            recorded.begin(*step.key)
            shown.begin(step)
            return
        recorded.end(*step.key, dataset.ref, existed)
        shown.end(step, dataset, existed)
        place += 1
        made += not existed

    plan_of = [(step.round, step.name, step.what, step.settings) for step in steps]
    recording = RecordedRun(
        workspace.root, recipe.name, plan_of, arm=arm or MAIN, seed=recipe.seed, arms=arms
    )
    with recording as recorded, shown:
        done = carry_out(workspace, recipe, steps, on_step=on_step)
        if done.stopped:
            recorded.stop(done.stopped)
    seconds = time.monotonic() - started
    if done.stopped:
        say(f"{recipe.name}: {done.stopped}")
    if made:
        say(f"{recipe.name}: {made} of {place} steps made in {seconds:.0f} s")
    else:
        say(f"{recipe.name}: nothing to do, all {place} steps exist already")
    return done


def _print_result(done: Run, as_json: bool) -> None:
    from vlt.runs.rounds import base_accuracy, rounds

    table = rounds(done)
    base = base_accuracy(done)
    if as_json:
        print_json({"recipe": done.recipe.name, **base, "rounds": table, "stopped": done.stopped})
        return
    print()
    print_table(
        [
            {
                **{
                    key: row[key]
                    for key in ("round", "items", "captions", "samples", "verified", "kept")
                },
                "SFT accuracy": percent(row["sft"]),
                "GRPO accuracy": percent(row["grpo"]),
                "time": f"{row['seconds']:.0f} s",
            }
            for row in table
        ]
    )
    heldout = done.made.get((0, "heldout"))
    if heldout:
        print(f"\nAccuracy on {heldout.manifest.rows:,} held-out items, with 95 % intervals.")
    if base["base"]:
        print(f"The base model, asked the same way: {percent(base['base'])}.")
    if base["direct"]:
        print(f"The base model, asked for the answer alone: {percent(base['direct'])}.")
    if done.stopped:
        print(f"\n{done.stopped[:1].upper()}{done.stopped[1:]}.")
    print("\nWhat was made:")
    for row in table:
        for name in ("sft", "sft-model", "grpo-model"):
            if version := done.made.get((row["round"], name)):
                print(f"  round {row['round']}  {version.ref:<16} {version.path}")


def _print_plan(
    recipe: Recipe,
    root: Path,
    steps: Sequence[Step],
    as_json: bool,
) -> None:
    from vlt.cli.arms import print_budgets
    from vlt.cli.options import open_store
    from vlt.runs.budget import planned, spent, total
    from vlt.runs.preview import found

    there = found(root, recipe, steps)
    each = list(zip(steps, there, strict=True))
    budgets = planned(recipe.models.base, steps, there, open_store(root) if any(there) else None)
    if as_json:
        print_json(
            [
                {
                    "round": s.round,
                    "step": s.name,
                    "what": s.what,
                    "settings": s.settings,
                    "earlier": s.earlier,
                    "made_from": [f"{name}@r{n}" if n else name for n, name in s.stage.inputs],
                    "version": version.ref if version else None,
                    "planned": budget.as_json(),
                }
                for (s, version), budget in zip(each, budgets, strict=True)
            ]
        )
        return
    print(f"{recipe.name}: {' '.join(recipe.about.split())}")
    number, width = -1, max(len(step.name) for step in steps)
    for step, made in each:
        if step.round != number:
            number = step.round
            print(f"\n{f'Round {number}' if number else 'Before the rounds'}")
        if step.earlier:
            print(f"  {step.name:<{width}} (used as it is)")
            continue
        version = f" [{made.ref} exists]" if made else ""
        print(f"  {step.name:<{width}} {step.what}{version}")
        for line in textwrap.wrap(step.settings, 100):
            print(f"  {'':<{width + 2}} {line}")
    if recipe.stop:
        significant = ", with a 95 % interval above 0" if recipe.stop.significant else ""
        print(
            f"\nIt stops after a round whose last model does not gain at least {recipe.stop.min_gain:g} "
            f"points{significant}, on the held-out items."
        )
    print()
    own = [made for step, made in each if made and step.round]
    print_budgets([("planned", total(steps, budgets)), *([("spent", spent(own))] if own else [])])
    to_make = sum(made is None for made in there)
    print(
        f"\n{len(steps) - to_make} of {len(steps)} steps exist already. Nothing was done: without "
        f"--dry-run the other {to_make} are made, and a run that was stopped resumes where it was."
    )
