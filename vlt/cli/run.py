"""vlt run | demo: carry a recipe out."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.options import WORKSPACE, Json, Workspace, open_store, parse_settings
from vlt.cli.output import SOME_ROWS_FAILED, describe, percent, print_json, print_table, say

if TYPE_CHECKING:
    from vlt.recipe import Recipe
    from vlt.steps import Run, Step

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe: seed=1."),
]


def run(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a bundled recipe.")],
    rounds: Annotated[int | None, typer.Option(min=1, help="Only the first N rounds.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="STEP", help="Stop after this step of the last round.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, do nothing.")] = False,
    settings: Settings = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Carry a recipe out, round by round; what is there already is not made again."""
    from vlt.recipe import load_recipe

    loaded = load_recipe(recipe, parse_settings(settings or []))
    if dry_run:
        _print_plan(loaded, rounds, until, as_json)
        return
    done = _carry_out(loaded, workspace, rounds, until)
    _print_result(done, as_json)
    if any(version.manifest.failed for version in done.made.values()):
        raise typer.Exit(SOME_ROWS_FAILED)


def demo(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Its workspace.")] = Path(
        "vlt-demo"
    ),
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Run the miniature: two rounds of the whole loop, for real, on two CPU cores in minutes."""
    from vlt.recipe import load_recipe

    say("vlt demo: tiny models that come with vlt, every stage for real; ctrl-C and go on at will")
    done = _carry_out(
        load_recipe("miniature", parse_settings(settings or [])), directory, None, None
    )
    _print_result(done, as_json)
    if not as_json:
        last = max(number for number, _ in done.made)
        say(f"\nLook at it:  vlt ls -w {directory}")
        say(f"             vlt show sft@r{last} -n 2 -w {directory}")
        say(f"             vlt log grpo-model -w {directory}")


def _carry_out(recipe: Recipe, workspace: Path, rounds: int | None, until: str | None) -> Run:
    from vlt.cli.progress import Progress
    from vlt.loop import carry_out, plan

    steps = plan(recipe, rounds=rounds, until=until)
    store = open_store(workspace)
    started = time.monotonic()
    made = 0
    place = 0

    progress = Progress()

    def on_step(step: Step, dataset: Any, existed: bool) -> None:
        nonlocal made, place
        progress.done()
        head = f"[{place + 1:>2}/{len(steps)}] " + (f"round {step.round} " if step.round else "")
        if dataset is None:
            say(f"{head}{step.name}: {step.what}")
            return
        place += 1
        made += not existed
        say(f"        {describe(dataset, existed=existed)}{_accuracy(dataset)}")

    done = carry_out(store, recipe, steps, progress=progress, on_step=on_step)
    seconds = time.monotonic() - started
    if made:
        say(f"{recipe.name}: {made} of {len(steps)} steps made in {seconds:.0f} s")
    else:
        say(f"{recipe.name}: nothing to do, all {len(steps)} steps are there already")
    return done


def _accuracy(dataset: Any) -> str:
    facts = dataset.manifest.facts.get("accuracy")
    return f", accuracy {percent(facts)}" if facts else ""


def _print_result(done: Run, as_json: bool) -> None:
    from vlt.rounds import base_accuracy, rounds

    table = rounds(done)
    base = base_accuracy(done)
    if as_json:
        print_json({"recipe": done.recipe.name, **base, "rounds": table})
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
        print(f"The base model, asked in the same way: {percent(base['base'])}.")
    if base["direct"]:
        print(f"The base model, asked for the answer alone: {percent(base['direct'])}.")
    print("\nWhat was made:")
    for row in table:
        for name in ("sft", "sft-model", "grpo-model"):
            if version := done.made.get((row["round"], name)):
                print(f"  round {row['round']}  {version.ref:<16} {version.path}")


def _print_plan(recipe: Recipe, rounds: int | None, until: str | None, as_json: bool) -> None:
    from vlt.loop import plan

    steps = plan(recipe, rounds=rounds, until=until)
    if as_json:
        print_json(
            [
                {"round": s.round, "step": s.name, "what": s.what, "settings": s.settings}
                for s in steps
            ]
        )
        return
    print(f"{recipe.name}: {' '.join(recipe.about.split())}")
    number = -1
    for step in steps:
        if step.round != number:
            number = step.round
            print(f"\n{f'Round {number}' if number else 'Before the rounds'}")
        print(f"  {step.name:<14} {step.what}")
        for line in textwrap.wrap(step.settings, 100):
            print(f"  {'':<16} {line}")
    print(
        "\nNothing was done. Without --dry-run this runs, and can be stopped and run again at will."
    )
