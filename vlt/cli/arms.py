"""vlt compare: the arms of a recipe side by side, and how they are printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.options import WORKSPACE, Json, Workspace, open_store, parse_settings
from vlt.cli.output import percent, print_json, print_table, say
from vlt.plural import plural
from vlt.workspace.progress import duration

if TYPE_CHECKING:
    from vlt.runs.arms import Variant
    from vlt.runs.budget import Budget


def compare(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a bundled recipe.")],
    arms: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARM...", help="[all; the first is the baseline]"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="As given to `vlt run`.")] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As given to `vlt run`."),
    ] = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Compare the arms of a recipe: accuracy, a paired test, and what each cost."""
    from vlt.runs.arms import ran, side_by_side, variants

    wanted = variants(recipe, parse_settings(settings or []), arms=arms or None, seeds=seeds)
    if arms:  # the first one named is the baseline
        wanted.sort(key=lambda variant: arms.index(variant.arm))
    print_arms(side_by_side(ran(open_store(workspace), wanted)), as_json)


def print_plan(wanted: Sequence[Variant], root: Path, as_json: bool) -> None:
    """Print what each arm would make, and which of it exists or comes from an earlier arm."""
    from vlt.runs.budget import planned, spent, total
    from vlt.runs.preview import found as versions_of

    seen: set[str] = set()
    found: list[dict[str, Any]] = []
    budgets: list[tuple[str, Budget]] = []
    store = open_store(root) if root.is_dir() else None
    for variant in wanted:
        steps = variant.steps
        there = versions_of(root, variant.recipe, steps)
        each = planned(variant.recipe.models.base, steps, there, store)
        budgets.append((f"{variant.label}, planned", total(steps, each)))
        if own := [v for step, v in zip(steps, there, strict=True) if v and step.round]:
            budgets.append((f"{variant.label}, spent", spent(own)))
        for step, made, budget in zip(steps, there, each, strict=True):
            name = f"{step.dataset}@r{step.round}" if step.round else step.dataset
            version = made.ref if made else None
            found.append(
                {
                    "arm": variant.label,
                    "makes": name,
                    "what": step.what,
                    "version": version or ("by an arm above" if name in seen else None),
                    "planned": budget.as_json(),
                }
            )
            seen.add(name)
    if as_json:
        print_json(found)
        return
    print_table([{k: v for k, v in row.items() if k != "planned"} for row in found])
    print()
    print_budgets(budgets)
    new = sum(row["version"] is None for row in found)
    print(f"\nNothing was done: {new} of {len(found)} steps would run.")


def print_budgets(budgets: Sequence[tuple[str, Budget]]) -> None:
    """Print what the rounds cost: an upper bound where planned, "?" where unknown beforehand."""
    print_table([{"": label, **_budget(budget.as_json())} for label, budget in budgets])
    print(
        "Planned tokens: an upper bound, without prompts. Time: from earlier runs, else unknown (?)."
    )


def _budget(given: Mapping[str, float | None]) -> dict[str, Any]:
    flops, seconds = given["training_flops"], given["seconds"]
    return {
        "GRPO steps": _count(given["grpo_steps"]),
        "completions": _count(given["completions"]),
        "sampled tokens": _count(given["sampled_tokens"]),
        "trained tokens": _count(given["trained_tokens"]),
        "training FLOPs": "?" if flops is None else f"{flops:.1e}",
        "time": "?" if seconds is None else duration(seconds),
    }


def _count(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def print_arms(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print the table, then a sentence for each arm compared with the first."""
    if as_json:
        print_json(list(rows))
        return
    print_table([_line(row) for row in rows])
    scores = [score for row in rows for score in row["seeds"]]
    if not scores:
        say("\nno arm has been measured; make them with `vlt run RECIPE --arms`, --set as here")
    if scores:
        print(
            f"\nAccuracy of each arm's last model on {scores[0]['n']:,} held-out items, 95 % intervals."
        )
    for row in rows:
        if not (against := row["against"]):
            continue
        gain, low, high = (100 * against[name] for name in ("difference", "low", "high"))
        print(
            f"{row['arm']} against {rows[0]['arm']}: {gain:+.1f} points [{low:+.1f}, {high:+.1f}]; "
            f"{plural(against['solved'], 'item')} newly solved, {against['lost']:,} lost; "
            f"p = {against['p']:.2g} ({against['test']})"
        )


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    spread, length, image = row["spread"], row["response_length"], row["image"]
    planned = row["planned"] or {}
    of = f" of {planned['grpo_steps']:,.0f}" if planned.get("grpo_steps") else ""
    worth = None
    if image:
        worth = " ".join(
            [
                f"{100 * image['difference']:+.1f}",
                f"[{100 * image['low']:+.1f}, {100 * image['high']:+.1f}]",
            ]
        )
    return {
        "arm": row["arm"],
        "accuracy": percent(row["accuracy"]) or "not measured yet",
        "seeds": len(row["seeds"]),
        "spread": f"{100 * spread:.1f}" if spread is not None else None,
        "solves alone": row["alone"],
        "image worth": worth,
        "tokens per answer": f"{length:.0f}" if length is not None else None,
        **_budget(row),
        "GRPO steps": f"{_count(row['grpo_steps'])}{of}",
    }
