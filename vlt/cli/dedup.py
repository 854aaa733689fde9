"""vlt dedup | decontaminate: drop duplicates, and items that overlap with a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.filter import ledger, print_ledger
from vlt.cli.lazy import CHOSEN, lazily
from vlt.cli.options import (
    WORKSPACE,
    Json,
    Processes,
    Ray,
    Workspace,
    complete_datasets,
    open_store,
)
from vlt.cli.output import describe, exit_code, print_json, print_table
from vlt.cli.progress import watching
from vlt.errors import UsageError
from vlt.plural import plural

if TYPE_CHECKING:
    from vlt.workspace.store import Dataset
    from vlt.workspace.workspace import Workspace as Opened

PRINTED, SHOWN = 10, 60
"""How many pairs are printed, and how many characters of a question."""
Memory = Annotated[str, typer.Option(help="DuckDB's memory limit; beyond it, it spills to disk.")]


def _near_settings() -> Any:
    from vlt.cli.filter_options import with_settings
    from vlt.filters.duplicates.near_dedup import NearDedup

    return with_settings(NearDedup, {"threshold": "--threshold", "keep": "--keep"})


def _benchmark_settings() -> Any:
    from vlt.cli.filter_options import with_settings
    from vlt.filters.contamination.decontaminate import Decontaminate

    names = ("ngram", "share", "words", "images")
    return with_settings(Decontaminate, {name: f"--{name}" for name in names})


Dedup = lazily(_near_settings)
Decontaminate = lazily(_benchmark_settings)


def dedup(
    context: typer.Context,
    data: Annotated[
        str, typer.Argument(metavar="DATASET|FILE.parquet", autocompletion=complete_datasets)
    ],
    near: Annotated[
        bool, typer.Option("--near", help="Also near-duplicates of the text (MinHash, verified).")
    ] = False,
    images: Annotated[
        bool,
        typer.Option(
            "--images", help="Datasets: copies of an image count as the same (implies --near)."
        ),
    ] = False,
    as_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Datasets: name of the new one.")
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Files: a column whose text is compared; repeatable."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Files: where to write the kept rows.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B", help="Files: columns to write; all by default.")
    ] = None,
    dropped: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Files: where to write the dropped rows' id, kept id and cluster."
        ),
    ] = None,
    memory: Memory = "1GB",
    processes: Processes = None,  # noqa: ARG001
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Keep one row of each cluster of duplicates.

    In a dataset, an item is a duplicate if question, choices and images are the same (--near: nearly
    the same text about the same images). In a Parquet file, which needs an `id` column, --on decides.
    """
    given = context.meta[CHOSEN]
    keep = {name: value for name, value in given.items() if name == "keep"}
    if data.endswith(".parquet"):
        if not on or not to:
            raise UsageError(
                f"{data!r} needs --on COLUMN and --to FILE; write --on text --to kept.parquet"
            )
        if images:
            raise UsageError(f"--images is for datasets and {data!r} is a file; leave it out")
        if as_name:
            raise UsageError(f"--as names a dataset and {data!r} is a file; use --to FILE")
        wanted = columns.split(",") if columns else None
        _dedup_file(Path(data), to, on, near, given, wanted, dropped, memory, as_json)
        return
    if on or to or columns or dropped:
        raise UsageError(
            f"--on, --to, --columns and --dropped are for a Parquet file and {data!r} is a dataset; "
            "leave them out, or name a file that ends in .parquet"
        )
    chain: list[Any] = [{"filter": "dedup", **keep}]
    if near or images:
        chain.append({"filter": "near_dedup", **given, "images": "near" if images else "same"})
    _filtered(workspace, data, chain, as_name, memory, as_json)


def decontaminate(
    context: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATASET", autocompletion=complete_datasets)],
    against: Annotated[
        list[str],
        typer.Option(
            metavar="DATASET,...", help="Benchmarks (`vlt import mathvista`) and other datasets."
        ),
    ],
    as_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Name of the new dataset.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write every pair of rows, ours and theirs: .csv, .jsonl or .parquet.",
        ),
    ] = None,
    memory: Memory = "1GB",
    processes: Processes = None,  # noqa: ARG001
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Drop items that overlap with benchmarks, by text and by image; print the pairs for review."""
    from vlt.datagen.benchmarks import check_prepared
    from vlt.filters.duplicates.pairs import pairs_of, write_pairs

    names = (name.strip().partition("@")[0] for each in against for name in each.split(","))
    store = open_store(workspace)
    check_prepared(store, names)
    chain = [{"filter": "decontaminate", "against": ",".join(against), **context.meta[CHOSEN]}]
    if pairs and pairs.suffix not in (".csv", ".jsonl", ".parquet"):
        raise UsageError(f"--pairs {str(pairs)!r} must end in .csv, .jsonl or .parquet")
    made, existed = _made(store, data, chain, as_name, memory)
    found = pairs_of(store, made)
    if pairs:
        write_pairs(pairs, found)
    if as_json:
        print_json({**ledger(made.manifest), "pairs": found})
    else:
        print_ledger(made.manifest)
        if found:
            print_table([_short(pair) for pair in found[:PRINTED]])
            if len(found) > PRINTED and not pairs:
                print(
                    f"... and {len(found) - PRINTED:,} more pairs; --pairs FILE.csv writes them all"
                )
            print()
        print(describe(made, existed=existed))
    raise typer.Exit(exit_code(made))


def _short(pair: dict[str, Any]) -> dict[str, str]:
    """A pair for the terminal, with the beginnings of the questions."""
    theirs, ours = (" ".join((pair[of] or "").split()) for of in ("their_question", "question"))
    return {
        "how": pair["how"],
        "near": pair["near"],
        "ours": ours if len(ours) <= SHOWN else ours[: SHOWN - 3] + "...",
        "theirs": theirs if len(theirs) <= SHOWN else theirs[: SHOWN - 3] + "...",
        "benchmark": pair["benchmark"],
    }


def _filtered(
    workspace: Path, data: str, chain: list[Any], name: str | None, memory: str, as_json: bool
) -> None:
    made, existed = _made(open_store(workspace), data, chain, name, memory)
    if as_json:
        print_json(ledger(made.manifest))
    else:
        print_ledger(made.manifest)
        print(describe(made, existed=existed))
    raise typer.Exit(exit_code(made))


def _made(
    store: Opened, data: str, chain: list[Any], name: str | None, memory: str
) -> tuple[Dataset, bool]:
    from vlt.filters.apply import make_filtered

    parent = store.open(data)
    with watching("filter"):
        return make_filtered(
            store, parent, chain=chain, name=name or parent.manifest.name, memory=memory
        )


def _dedup_file(
    file: Path,
    to: Path,
    on: list[str],
    near: bool,
    given: Mapping[str, Any],
    columns: list[str] | None,
    dropped: Path | None,
    memory: str,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from vlt.cores import processes
    from vlt.filters.duckdb_scratch import Scratch
    from vlt.filters.duplicates.file import dedup_file
    from vlt.process_pool import pool_folder

    with pool_folder(to.parent) as folder, watching("dedup"):
        done = dedup_file(
            file,
            to,
            on,
            Scratch(folder, memory, processes()),
            near=near,
            **given,
            columns=columns,
            dropped=dropped,
        )
    if as_json:
        print_json({**asdict(done), "file": str(to)})
    else:
        gone = done.rows - done.kept
        print(
            f"{to}: {done.kept:,} of {plural(done.rows, 'row')} kept, {plural(gone, 'duplicate')} in "
            f"{plural(done.clusters, 'cluster')}"
        )
