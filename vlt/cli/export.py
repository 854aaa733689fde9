"""vlt export: a version as another program reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlt.cli.options import WORKSPACE, DatasetArgument, Json, Workspace, open_store
from vlt.cli.output import SOME_ROWS_FAILED, print_json, say
from vlt.errors import UsageError
from vlt.train.method import BUILT_IN, is_method

if TYPE_CHECKING:
    from vlt.prompts import Prompt

WITHOUT_PROMPT = ("parquet", "jsonl", "easyr1", "vlmevalkit", "lmms-eval")
FORMATS = (*WITHOUT_PROMPT, "trl", "sharegpt", "swift")
"""What `vlt export` writes, beside the rows of any training method."""


def export(
    dataset: DatasetArgument,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder to write into.")],
    format: Annotated[
        str,
        typer.Option(
            metavar=f"[{'|'.join((*FORMATS, *BUILT_IN))}]",
            help="parquet: all columns, images inside, for datasets.load_dataset; jsonl: with a "
            "folder of images, for load_dataset as well; sharegpt: for LLaMA-Factory; swift: for "
            "ms-swift; easyr1: for EasyR1 and verl; sft, grpo, dpo: what TRL's trainer of that name "
            "reads; trl: sft of samples, grpo of items; vlmevalkit, lmms-eval: items to evaluate on.",
        ),
    ] = "parquet",
    prompt: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="User text of TRL's rows, sharegpt and swift, with {question}.",
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="System text of TRL's rows, sharegpt and swift.")
    ] = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Write a version for another program; images stand in the rows or in a folder beside."""
    from vlt.datagen.export import evaluators, trainers
    from vlt.datagen.export.files import parquet_shards, with_rows, write_jsonl
    from vlt.images.store import ImageStore

    store = open_store(workspace)
    version = with_rows(store.open(dataset))
    if format not in FORMATS and not is_method(format):
        raise UsageError(
            f"--format {format!r} is none; there are {', '.join((*FORMATS, *BUILT_IN))}, or a "
            "training method of your own"
        )
    if (prompt or system is not None) and format in WITHOUT_PROMPT:
        raise UsageError(f"--format {format} holds questions and no prompts; leave out --prompt")
    if to.exists() and not to.is_dir():
        raise UsageError(f"--to {str(to)!r} is a file; name a folder")
    written = trainers.Written()
    with ImageStore(store.images_folder, read_only=True) as images:
        if format == "parquet":
            written.files = list(parquet_shards(version, images, to))
        elif format == "jsonl":
            written.files = [write_jsonl(version, images, to)]
        elif format == "sharegpt":
            written = trainers.write_sharegpt(version, images, to, _rollout(prompt, system))
        elif format == "swift":
            written = trainers.write_swift(version, images, to, _rollout(prompt, system))
        elif format == "easyr1":
            written = trainers.write_easyr1(version, images, to)
        elif format == "vlmevalkit":
            written.files = evaluators.write_vlmevalkit(version, images, to)
        elif format == "lmms-eval":
            written.files = evaluators.write_lmms_eval(version, images, to)
        else:
            from vlt.prompts import image_token
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
                refused=image_token,
            )
            written.files = [made.file]
            written.left_out = made.failed
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


def _rollout(file: Path | None, system: str | None) -> Prompt:
    """The prompt that a model is trained and asked with, unless a file gives another."""
    from dataclasses import replace

    from vlt.datagen.paper_prompts import ROLLOUT
    from vlt.prompts import load_prompt

    kept = ROLLOUT.system if system is None else system
    return load_prompt(str(file), kept) if file else replace(ROLLOUT, system=kept)
