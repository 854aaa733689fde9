"""vlt import | sources: bring data into a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from vlt.cli.derived import derived
from vlt.cli.options import (
    WORKSPACE,
    As,
    Json,
    Processes,
    Ray,
    Workspace,
    open_store,
    parse_settings,
)
from vlt.cli.output import describe, exit_code, print_json, say
from vlt.cli.progress import Progress
from vlt.datagen.import_settings import Import

if TYPE_CHECKING:
    from vlt.workspace.store import Dataset

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A file (JSONL, JSON, CSV, Parquet, Arrow, WebDataset), a pattern, a folder, any of these at "
        "s3://, gs:// or hf://, a Hub id (user/name), or a name of `vlt sources`.",
    ),
]


@derived(what=Import(source=""))
def import_(
    source: SourceArgument,
    *,
    what: Import,
    name: As = None,
    map_: Annotated[
        str | None,
        typer.Option("--map", help="Columns that cannot be guessed: question=problem,image=pic"),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            metavar="COPY", help="For a named source: a local copy, read instead of the Hub."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of a named source or of a function: n=500."),
    ] = None,
    processes: Processes = None,  # noqa: ARG001
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Import images with questions and gold answers; every row is checked as it enters."""
    from dataclasses import asdict, replace

    from vlt.datagen.benchmarks import BY_NAME
    from vlt.datagen.sources import make_items
    from vlt.datagen.sources.columns import parse_map

    progress = Progress()
    what = replace(
        what,
        source=source,
        map=parse_map(map_),
        settings=parse_settings(settings or []) | ({"path": path} if path else {}),
    )
    dataset, existed = make_items(
        open_store(workspace),
        what,
        name=name or (source if source in BY_NAME else None),
        chosen=_say_columns,
        progress=progress,
    )
    progress.done()
    if as_json:
        print_json({"ref": dataset.ref, "existed": existed, **asdict(dataset.manifest)})
    else:
        print(describe(dataset, existed=existed))
    say_what_failed(dataset)
    raise typer.Exit(exit_code(dataset))


def sources(as_json: Json = False) -> None:
    """List the sources that `vlt import` knows by name."""
    from dataclasses import asdict

    from vlt.cli.output import print_table
    from vlt.datagen.benchmarks import BENCHMARKS
    from vlt.datagen.benchmarks.catalog import Benchmark
    from vlt.datagen.sources.known import KNOWN, Known

    listed: list[Known | Benchmark] = [*KNOWN, *BENCHMARKS]
    rows = [
        {
            "name": known.name,
            "rows": known.rows,
            "Hub id": known.repo,
            "config": known.config,
            "split": known.split,
            "used in": known.used,
        }
        for known in listed
    ]
    if as_json:
        print_json([asdict(known) for known in listed])
        return
    print_table(rows)
    say("and miniature, the synthetic data of the demo (--set n=500 --set split=heldout)")
    say("licences and where each fact is from: `vlt sources --json`")


def say_what_failed(dataset: Dataset) -> None:
    """Print the reasons with their counts, most frequent first, and how to see the rows."""
    for note in dataset.manifest.facts.get("notes", []):
        say(f"  {note}")
    counts = dict(dataset.manifest.failed)
    for reasons in dataset.manifest.dropped.values():
        for reason, count in reasons.items():
            counts[reason] = counts.get(reason, 0) + count
    for reason, count in sorted(counts.items(), key=lambda pair: -pair[1]):
        say(f"  {count:,} {reason}")
    if counts:
        say(f"see them with `vlt show {dataset.ref} --dropped`")


def _say_columns(columns: Mapping[str, str], guessed: Mapping[str, str]) -> None:
    """Print which columns will be read as what, and which of them were guessed."""
    words = [
        target if target == column else f"{target} = {column}" for target, column in columns.items()
    ]
    say("columns: " + ", ".join(words))
    if guessed:
        say(f"  guessed from names: {', '.join(guessed)}; change it with --map NAME=COLUMN")
