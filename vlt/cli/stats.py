"""vlt stats: statistics of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vlt.cli.options import WORKSPACE, DatasetArgument, Json, Processes, Ray, Workspace, open_store
from vlt.cli.output import print_json, print_table, say
from vlt.errors import UsageError

SIGNS = {
    "agreement": {
        "items": "items with several samples",
        "mean": "agreement of an item's samples, mean",
        "all_the_same": "items whose samples all agree",
    },
    "sufficiency": {
        "captions": "captions that were reasoned over",
        "mean": "sufficiency of captions, mean",
        "never": "captions that never suffice",
        "always": "captions that always suffice",
    },
}
ANSWERS = {"gold": "gold", "majority": "majority of samples", "none": "none"}


def stats(
    dataset: DatasetArgument,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="Plot lengths and pass rates to this file."),
    ] = None,
    processes: Processes = None,  # noqa: ARG001
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Rows, tokens, reasoning lengths, pass@k by source, verdicts, reflection words, duplicates."""
    from vlt.filters.stats import dataset_stats

    version = open_store(workspace).open(dataset)
    if version.kind == "checkpoint":
        raise UsageError(
            f"{version.ref} is a checkpoint and has no rows; see `vlt log {version.ref}`"
        )
    if plot and plot.suffix != ".svg":
        raise UsageError(f"--plot {str(plot)!r} is not an SVG file; write --plot {plot.stem}.svg")
    found = dataset_stats(version)
    if plot:
        from vlt.report.plot import svg

        plot.write_text(svg(found))
        say(f"wrote {plot}")
    if as_json:
        print_json(found)
    else:
        print_stats(found)


def print_stats(found: Mapping[str, Any]) -> None:
    """Print tables: single numbers, then counts by value, then sources."""
    print_table([{"what": what, "value": value} for what, value in _single(found)])
    for title in ("answer_types", "verdicts", "finish_reasons"):
        if found.get(title):
            print()
            print_table([{title: name, "rows": rows} for name, rows in found[title].items()])
    print()
    columns = list(dict.fromkeys(key for row in found["by_source"] for key in row))
    print_table(found["by_source"], columns)
    histogram = found.get("reasoning_words", {}).get("histogram", [])
    most = max((bin["rows"] for bin in histogram), default=0)
    if most:
        print("\nwords of reasoning")
        for bin in histogram:
            print(f"{bin['from']:>7,}  {bin['rows']:>9,}  {'#' * round(40 * bin['rows'] / most)}")


def _single(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    lines = [(key, found[key]) for key in ("dataset", "kind", "rows", "items", "images")]
    lines.append(("duplicate items", found["duplicate_items"]))
    if "tokens" in found:
        lines += [(f"{side} tokens", found["tokens"][side]) for side in ("prompt", "completion")]
        words = found["reasoning_words"]
        lines += [(f"words of reasoning, {q}", words[q]) for q in words if q != "histogram"]
        share = found["reflections"]["share_of_responses"]
        lines.append(("responses with reflections", share))
    for sign, titles in SIGNS.items():
        lines += [(titles[name], value) for name, value in found.get(sign, {}).items()]
    lines += [
        (f"answers: {ANSWERS[name]}", rows) for name, rows in found.get("answers", {}).items()
    ]
    for rubric, of_rubric in found.get("judgements", {}).items():
        lines.append((f"judged by {rubric}", of_rubric["share_judged"]))
        lines.append((f"pass by {rubric}", of_rubric["pass"]))
    return lines
