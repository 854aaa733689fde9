"""vlt run | demo: carry a recipe out."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.asking import open_workspace
from vlt.cli.options import WORKSPACE, Json, Workspace, or_before_command, parse_settings
from vlt.cli.output import SOME_ROWS_FAILED, percent, print_json, print_table, say

if TYPE_CHECKING:
    from vlt.runs.arms import Variant
    from vlt.runs.recipe import Recipe
    from vlt.runs.step import Run, Step

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
            help="Start at this step of the last round (or STEP@r1), with what is there before it.",
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
            metavar="NAME", help="Run this arm of the recipe; repeatable. loop: the recipe."
        ),
    ] = None,
    arms: Annotated[
        bool,
        typer.Option("--arms", help="Run the recipe and all its arms, and set them side by side."),
    ] = False,
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Run each with so many seeds: the recipe's, and those after it."),
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, do nothing.")] = False,
    settings: Settings = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Carry a recipe out, round by round; what is there already is not made again.

    With --from, what comes before that step is not looked into: its newest versions of the round
    are taken as they are, whatever the recipe says of them by now.
    """
    from vlt.runs.arms import MAIN, variants
    from vlt.runs.loop import plan
    from vlt.runs.recipe import load_recipe

    changes = parse_settings(settings or [])
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
        _run_arms(wanted, workspace, dry_run, as_json)
        return
    loaded = load_recipe(recipe, changes, to_run=True)
    if dry_run:
        _print_plan(loaded, workspace, rounds, start, until, as_json)
        return
    done = _carry_out(loaded, workspace, plan(loaded, rounds=rounds, start=start, until=until))
    _print_result(done, as_json)
    if any(version.manifest.failed for version in done.made.values()):
        raise typer.Exit(SOME_ROWS_FAILED)


def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Its workspace.", callback=or_before_command)
    ] = Path("vlt-demo"),
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Run the miniature: two rounds of the whole loop, for real, on two CPU cores in minutes."""
    from vlt.runs.loop import plan
    from vlt.runs.recipe import load_recipe

    say("vlt demo: tiny models that come with vlt, every stage for real; ctrl-C stops it, and the")
    say("same command goes on")
    loaded = load_recipe("miniature", parse_settings(settings or []))
    done = _carry_out(loaded, directory, plan(loaded))
    _print_result(done, as_json)
    if not as_json:
        last = max(number for number, _ in done.made)
        say(f"\nLook at it:  vlt view sft@r{last} -w {directory}")
        say(f"             vlt report -w {directory}")
        say(f"             vlt ls -w {directory}")
        say(f"             vlt log grpo-model -w {directory}")


def _run_arms(wanted: Sequence[Variant], root: Path, dry_run: bool, as_json: bool) -> None:
    """Each variant in turn, then all of them side by side."""
    from vlt.cli.arms import print_arms, print_plan
    from vlt.cli.options import open_store
    from vlt.runs.arms import side_by_side

    if dry_run:
        print_plan(wanted, root, as_json)
        return
    failed = False
    for variant in wanted:
        say(f"{variant.recipe.name}, {variant.label}:")
        done = _carry_out(variant.recipe, root, variant.steps, variant.label)
        failed = failed or any(version.manifest.failed for version in done.made.values())
    print_arms(side_by_side(open_store(root), wanted), as_json)
    if failed:
        raise typer.Exit(SOME_ROWS_FAILED)


def _carry_out(recipe: Recipe, root: Path, steps: list[Step], label: str = "") -> Run:
    from vlt.cli.plan_lines import PlanLines
    from vlt.cli.plan_table import PlanTable, fits
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
    named = f"{recipe.name}, {label}" if label else recipe.name
    with RecordedRun(workspace.root, named, plan_of) as recorded, shown:
        done = carry_out(workspace, recipe, steps, on_step=on_step)
        if done.stopped:
            recorded.stop(done.stopped)
    seconds = time.monotonic() - started
    if done.stopped:
        say(f"{recipe.name}: {done.stopped}")
    if made:
        say(f"{recipe.name}: {made} of {place} steps made in {seconds:.0f} s")
    else:
        say(f"{recipe.name}: nothing to do, all {place} steps are there already")
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
    rounds: int | None,
    start: str | None,
    until: str | None,
    as_json: bool,
) -> None:
    from vlt.runs.loop import plan
    from vlt.runs.preview import preview

    steps = plan(recipe, rounds=rounds, start=start, until=until)
    there = preview(root, recipe, steps)
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
                    "version": there[s.key].ref if s.key in there else None,
                }
                for s in steps
            ]
        )
        return
    print(f"{recipe.name}: {' '.join(recipe.about.split())}")
    number, width = -1, max(len(step.name) for step in steps)
    for step in steps:
        if step.round != number:
            number = step.round
            print(f"\n{f'Round {number}' if number else 'Before the rounds'}")
        if step.earlier:
            print(f"  {step.name:<{width}} (taken as it is)")
            continue
        version = f" [{there[step.key].ref} is there]" if step.key in there else ""
        print(f"  {step.name:<{width}} {step.what}{version}")
        for line in textwrap.wrap(step.settings, 100):
            print(f"  {'':<{width + 2}} {line}")
    if recipe.stop:
        significant = ", with a 95 % interval above 0" if recipe.stop.significant else ""
        print(
            f"\nIt ends after a round whose last model does not gain at least {recipe.stop.min_gain:g} "
            f"points{significant}, on the held-out items."
        )
    to_make = sum(step.key not in there for step in steps)
    print(
        f"\n{len(steps) - to_make} of {len(steps)} steps are there already. Nothing was done: without "
        f"--dry-run the other {to_make} are made, and a run that is stopped goes on where it was."
    )
