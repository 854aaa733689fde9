"""vlt judge --agreement and --bias: print how far a judge can be trusted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlt.cli.asking import clear
from vlt.cli.options import open_store
from vlt.cli.output import percent, plain, print_json, print_table
from vlt.plural import plural

if TYPE_CHECKING:
    from vlt.datagen.asking import Asking
    from vlt.engine.model import Model
    from vlt.judging.rubric import Rubric
    from vlt.workspace.store import Dataset
    from vlt.workspace.workspace import Workspace

SHOWN = 20
"""How many rows are listed where person and judge differ; --json gives all."""


def print_agreement(root: Path, ref: str | None, rubric: str | None, as_json: bool) -> None:
    """Print judgements against people's marks; by default for the newest judged version."""
    from vlt.errors import UserError
    from vlt.evaluation.judge_agreement import agreement

    store = open_store(root)
    if ref:
        rows = store.open(ref)
    else:
        judged = [d for d in store.all() if d.manifest.facts.get("judged")]
        if not judged:
            raise UserError(
                f"nothing in workspace {str(root)!r} has been judged yet; see `vlt judge --help`"
            )
        rows = judged[-1]
    name = Path(rubric).stem if rubric and rubric.endswith((".yaml", ".yml")) else rubric
    found = agreement(store, rows, name)
    if as_json:
        print_json(found)
        return
    print(f"{found['dataset']}: {plural(found['marked'], 'row')} marked by people")
    for rubric_name, of_rubric in found["rubrics"].items():
        _print_rubric(rubric_name, of_rubric)


def _print_rubric(name: str, found: dict[str, Any]) -> None:
    kappa = found["kappa"]
    interval = "" if kappa["low"] is None else f" [{kappa['low']:.2f}, {kappa['high']:.2f}]"
    value = "not defined" if kappa["value"] is None else f"{kappa['value']:.2f}{interval}"
    unjudged = f", {found['unjudged']:,} more unjudged" if found["unjudged"] else ""
    print(f"\nrubric {plain(name)}: {plural(found['rows'], 'row')}{unjudged}")
    if found["rows"]:
        print(f"  agreement {percent(found['agreement'])}, Cohen's kappa {value}\n")
    print_table([{"people": f"{mark}ed", **counts} for mark, counts in found["confusion"].items()])
    if found["differ"]:
        print(f"\nwhere they differ ({len(found['differ']):,}):")
        rows = [
            {**row, "id": row["id"][:12], "note": row["note"][:60], "reason": row["reason"][:80]}
            for row in found["differ"][:SHOWN]
        ]
        print_table(rows)
        if len(found["differ"]) > SHOWN:
            print(f"and {len(found['differ']) - SHOWN:,} more; --json gives all")


def print_bias(
    workspace: Workspace,
    samples: Dataset,
    judges: list[Model],
    rubric: Rubric,
    asking: Asking,
    image: bool | None,
    as_json: bool,
) -> None:
    """Run both trials with each judge, and print the results."""
    from vlt.evaluation.judge_bias import bias

    found = {}
    for model in judges:
        try:
            found[model.model] = bias(workspace, samples, model, rubric, asking, image=image)
        finally:
            clear(workspace)
    if as_json:
        print_json({name: asdict(each) for name, each in found.items()})
        return
    for name, each in found.items():
        length, position, shift = each.length, each.position, each.length["shift"]
        print(f"{plain(name)} by rubric {plain(rubric.name)}")
        if length["rows"]:
            print(
                f"  filler added to {plural(length['rows'], 'response')}: score "
                f"{shift['value']:+.2f} [{shift['low']:+.2f}, {shift['high']:+.2f}], verdict flipped in "
                f"{percent(length['flips'])}"
            )
        if position["pairs"]:
            print(
                f"  {plural(position['pairs'], 'pair')} in both orders: the choice changed with the "
                f"order in {percent(position['flips'])}; the first was chosen in "
                f"{percent(position['first'])}"
            )
        else:
            print("  no item has two different responses, so no pair was shown in both orders")
        left = length["unjudged"] + position["unjudged"]
        if left:
            print(f"  {left:,} left out: the judge's reply could not be parsed")
