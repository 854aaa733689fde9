"""vlt export: write a version for another program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlt.cli.derived import by_source, prompt_of
from vlt.cli.options import WORKSPACE, DatasetArgument, Json, Processes, Ray, Workspace, open_store
from vlt.cli.output import SOME_ROWS_FAILED, print_json, say
from vlt.cli.progress import watching
from vlt.train.method import BUILT_IN

FORMATS = "parquet jsonl easyr1 vlmevalkit lmms-eval trl sharegpt swift"
"""vlt.api.export.FORMATS, repeated because --help must not import it."""


def export_(
    dataset: DatasetArgument,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder to write into.")],
    format: Annotated[
        str,
        typer.Option(
            metavar=f"[{'|'.join((*FORMATS.split(), *BUILT_IN))}]",
            help="parquet: all columns, images inside, for datasets.load_dataset; jsonl: the same "
            "with a folder of images; sharegpt: for LLaMA-Factory; swift: for "
            "ms-swift; easyr1: for EasyR1 and verl; sft, grpo, dpo: what TRL's trainer of that name "
            "reads; trl: sft of samples, grpo of items; vlmevalkit, lmms-eval: items to evaluate on.",
        ),
    ] = "parquet",
    prompt: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Prompt of TRL's rows, sharegpt and swift, with {question}.",
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="System prompt of TRL's rows, sharegpt and swift.")
    ] = None,
    others: Annotated[list[str] | None, by_source()] = None,
    processes: Processes = None,  # noqa: ARG001
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Write a version for another program; images go into the rows or into a folder next to them."""
    from vlt.api.export import export
    from vlt.datagen.paper_prompts import ROLLOUT

    opened = open_store(workspace)
    version = opened.open(dataset)
    given = prompt is not None or system is not None or others
    asked = prompt_of(ROLLOUT, prompt, system, others) if given else None
    with watching("export"):
        written = export(opened, version, to, format, asked)
    left_out = dict(written.left_out)
    if as_json:
        print_json(
            {
                "ref": version.ref,
                "format": format,
                "files": list(map(str, written.files)),
                "left_out": left_out,
            }
        )
    else:
        for file in written.files:
            print(file)
    for reason, count in left_out.items():
        say(f"  {count:,} left out: {reason}")
    if format == "swift":
        say(f"  ROOT_IMAGE_DIR={to} swift sft --dataset {written.files[0]} ...")
    raise typer.Exit(SOME_ROWS_FAILED if left_out else 0)
