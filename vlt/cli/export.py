"""vlt export: a version as another program reads it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlt.cli.options import WORKSPACE, Json, Workspace, open_store
from vlt.cli.output import SOME_ROWS_FAILED, print_json, say
from vlt.errors import UsageError

if TYPE_CHECKING:
    from vlt.prompts import Prompt


class Format(StrEnum):
    """What `vlt export` writes."""

    parquet = "parquet"
    jsonl = "jsonl"
    trl = "trl"
    dpo = "dpo"
    sharegpt = "sharegpt"
    swift = "swift"
    easyr1 = "easyr1"
    vlmevalkit = "vlmevalkit"
    lmms_eval = "lmms-eval"


WITH_PROMPT = (Format.trl, Format.dpo, Format.sharegpt, Format.swift)


def export(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="name, name@v3 or name@r2.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder to write into.")],
    format: Annotated[
        Format,
        typer.Option(
            help="parquet: all columns, images inside, for datasets.load_dataset; jsonl: with a "
            "folder of images, for load_dataset as well; trl: prompt and completion, or prompt and "
            "answer; dpo: prompt, chosen and rejected; sharegpt: for LLaMA-Factory; swift: for "
            "ms-swift; easyr1: for EasyR1 and verl; vlmevalkit, lmms-eval: items to evaluate on."
        ),
    ] = Format.parquet,
    prompt: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="User text of trl, dpo, sharegpt and swift, with {question}."
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="System text of trl, dpo, sharegpt and swift.")
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
    if (prompt or system is not None) and format not in WITH_PROMPT:
        raise UsageError(f"--format {format} holds questions and no prompts; leave out --prompt")
    if to.exists() and not to.is_dir():
        raise UsageError(f"--to {str(to)!r} is a file; name a folder")
    written = trainers.Written()
    with ImageStore(store.images_folder) as images:
        if format is Format.parquet:
            written.files = list(parquet_shards(version, images, to))
        elif format is Format.jsonl:
            written.files = [write_jsonl(version, images, to)]
        elif format is Format.sharegpt:
            written = trainers.write_sharegpt(version, images, to, _rollout(prompt, system))
        elif format is Format.swift:
            written = trainers.write_swift(version, images, to, _rollout(prompt, system))
        elif format is Format.easyr1:
            written = trainers.write_easyr1(version, images, to)
        elif format is Format.vlmevalkit:
            written.files = evaluators.write_vlmevalkit(version, images, to)
        elif format is Format.lmms_eval:
            written.files = evaluators.write_lmms_eval(version, images, to)
        else:
            from vlt.prompts import image_token
            from vlt.train.training import rows_for
            from vlt.train.trl_rows import write_trl

            method, rows = rows_for(store, version, "dpo" if format is Format.dpo else None)
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
    if format is Format.swift:
        say(f"  ROOT_IMAGE_DIR={to} swift sft --dataset {written.files[0]} ...")
    raise typer.Exit(SOME_ROWS_FAILED if left_out else 0)


def _rollout(file: Path | None, system: str | None) -> Prompt:
    """The prompt that a model is trained and asked with, unless a file gives another."""
    from vlt.datagen.paper_prompts import ROLLOUT
    from vlt.prompts import Prompt

    if file and not file.is_file():
        raise UsageError(f"--prompt {str(file)!r} is not a file; write the user text into one")
    user = file.read_text().strip() if file else ROLLOUT.user
    return Prompt(user=user, system=ROLLOUT.system if system is None else system)
