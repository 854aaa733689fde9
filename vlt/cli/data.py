"""vlt import | export: data in and out of a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlt.cli.derived import derived
from vlt.cli.options import (
    WORKSPACE,
    As,
    DatasetArgument,
    Json,
    Workspace,
    open_store,
    parse_settings,
)
from vlt.cli.output import SOME_ROWS_FAILED, describe, exit_code, print_json, say
from vlt.cli.progress import Progress
from vlt.datagen.import_settings import Import
from vlt.errors import UsageError
from vlt.train.method import BUILT_IN, is_method

if TYPE_CHECKING:
    from vlt.prompts import Prompt
    from vlt.workspace.store import Dataset

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A file (JSONL, JSON, CSV, Parquet, Arrow, WebDataset), a pattern, a folder, a Hub id "
        "(user/name), or a name of `vlt sources`.",
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
            metavar="COPY", help="Of a source with a name: a copy of it, and not the Hub."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value of a source with a name, or of a function: n=500."),
    ] = None,
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
    """List the sources that `vlt import` knows by name, with where their layouts are from."""
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
    say("and miniature, the drawn world of the demo (--set n=500 --set split=heldout)")
    say("licences and where each fact is from: `vlt sources --json`")


FORMATS = ("parquet", "jsonl", "trl", "sharegpt", "easyr1")
"""What `vlt export` writes, beside the rows of any training method."""


def export(
    dataset: DatasetArgument,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder to write into.")],
    format: Annotated[
        str,
        typer.Option(
            metavar=f"[{'|'.join((*FORMATS, *BUILT_IN))}]",
            help="parquet: all columns, images inside, for datasets.load_dataset; jsonl: with a "
            "folder of images; sharegpt: for LLaMA-Factory; easyr1: for EasyR1 and verl; sft, grpo, "
            "dpo: what TRL's trainer of that name reads; trl: sft of samples, grpo of items.",
        ),
    ] = "parquet",
    prompt: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="User text of TRL's rows and sharegpt, with {question}."),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="System text of TRL's rows and sharegpt.")
    ] = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Write a version for another program; images stand in the rows or in a folder beside."""
    from vlt.datagen.export.files import parquet_shards, with_rows, write_jsonl
    from vlt.datagen.export.trainers import write_easyr1, write_sharegpt
    from vlt.images.store import ImageStore

    store = open_store(workspace)
    version = with_rows(store.open(dataset))
    if format not in FORMATS and not is_method(format):
        raise UsageError(
            f"--format {format!r} is none; there are {', '.join((*FORMATS, *BUILT_IN))}, or a "
            "training method of your own"
        )
    if (prompt or system is not None) and format in ("parquet", "jsonl", "easyr1"):
        raise UsageError(f"--format {format} holds questions and no prompts; leave out --prompt")
    if to.exists() and not to.is_dir():
        raise UsageError(f"--to {str(to)!r} is a file; name a folder")
    left_out: dict[str, int] = {}
    with ImageStore(store.images_folder, read_only=True) as images:
        if format == "parquet":
            files = list(parquet_shards(version, images, to))
        elif format == "jsonl":
            files = [write_jsonl(version, images, to)]
        elif format == "sharegpt":
            files = [write_sharegpt(version, images, to, _rollout(prompt, system))]
        elif format == "easyr1":
            files = [write_easyr1(version, images, to)]
        else:
            from vlt.train.training import rows_for
            from vlt.train.trl_rows import write_trl

            method, rows = rows_for(store, version, None if format == "trl" else format)
            made = write_trl(
                version,
                to / "train.parquet",
                method,
                prompt=_rollout(prompt, system),
                load_image=images.read,
                rows=rows,
            )
            files, left_out = [made.file], dict(made.failed)
    if as_json:
        print_json(
            {
                "ref": version.ref,
                "format": format,
                "files": list(map(str, files)),
                "left_out": left_out,
            }
        )
    else:
        for file in files:
            print(file)
    for reason, count in left_out.items():
        say(f"  {count:,} left out: {reason}")
    raise typer.Exit(SOME_ROWS_FAILED if left_out else 0)


def _rollout(file: Path | None, system: str | None) -> Prompt:
    """The prompt that a model is trained and asked with, unless a file gives another."""
    from dataclasses import replace

    from vlt.datagen.paper_prompts import ROLLOUT
    from vlt.prompts import load_prompt

    kept = ROLLOUT.system if system is None else system
    return load_prompt(str(file), kept) if file else replace(ROLLOUT, system=kept)


def say_what_failed(dataset: Dataset) -> None:
    """The reasons with their counts, most frequent first, and how to see the rows."""
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
    """Which columns are read as what, before they are, and which of that was a guess."""
    words = [
        target if target == column else f"{target} = {column}" for target, column in columns.items()
    ]
    say("columns: " + ", ".join(words))
    if guessed:
        say(f"  guessed from names: {', '.join(guessed)}; say otherwise with --map NAME=COLUMN")
