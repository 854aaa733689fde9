"""vlt label: items whose answer is the majority of their samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from vlt.cli.derived import derived
from vlt.cli.options import WORKSPACE, As, Json, Workspace, complete_datasets, open_store
from vlt.cli.output import describe, percent, print_json, print_table, say
from vlt.evaluation.labelling import Labelling
from vlt.plural import plural


@derived(labelling=Labelling)
def label(
    samples: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SAMPLES",
            help="Samples, several of each item. [the newest]",
            autocompletion=complete_datasets,
        ),
    ] = None,
    *,
    labelling: Labelling,
    name: As = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Label items that have no gold answer with the majority answer of their samples.

    Every row made from them says so (answer_source). Where gold answers are known, the calibration
    shows what share of majority answers is correct at each threshold.
    """
    from vlt.evaluation.label import make_labels

    store = open_store(workspace)
    given = [store.open(ref) for ref in samples or []]
    given = given or [store.newest("sample", "vlt gen rollouts")]
    made, existed = make_labels(store, given, labelling, name=name or "labelled")
    m = made.manifest
    found = m.facts["calibration"]
    if as_json:
        counts = {"rows": m.rows, "rows_in": m.rows_in, "dropped": m.dropped}
        print_json({"ref": m.ref, "existed": existed, **counts, "calibration": found})
        return
    if found:
        print_calibration(found, labelling.majority)
    print(describe(made, existed=existed))
    for reason, count in m.dropped.get("label", {}).items():
        say(f"  {count:,} not labelled: {reason}")
    if not found:
        say("  no gold answers are known, so it is unknown how many labels are correct")


def print_calibration(found: Sequence[Mapping[str, Any]], asked: float) -> None:
    """Precision of majority answers at each threshold, with 95 % intervals."""
    print_table(
        [
            {
                "majority": f"{row['majority']:g}" + (" *" if row["majority"] == asked else ""),
                "labelled": f"{row['labelled']:.1%}",
                "correct": percent(row["precision"]),
                "n": row["precision"]["n"],
            }
            for row in found
        ]
    )
    say(f"  of {plural(found[0]['of'], 'item')} with a gold answer; * the threshold used")
    print()
