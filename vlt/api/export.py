"""Write a version as files for other programs: for `vlt export` and `Workspace.export`."""

from __future__ import annotations

from pathlib import Path

from vlt.datagen.export import evaluators, trainers
from vlt.datagen.export.files import parquet_shards, with_rows, write_jsonl
from vlt.datagen.paper_prompts import ROLLOUT
from vlt.errors import UsageError
from vlt.images.store import ImageStore
from vlt.prompts import Prompt, image_token
from vlt.train.method import BUILT_IN, is_method
from vlt.train.training import rows_for
from vlt.train.trl_rows import write_trl
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

WITHOUT_PROMPT = ("parquet", "jsonl", "easyr1", "vlmevalkit", "lmms-eval")
FORMATS = (*WITHOUT_PROMPT, "trl", "sharegpt", "swift")
"""The formats, besides the rows of any training method."""


def export(
    workspace: Workspace,
    version: Dataset,
    to: Path,
    format: str = "parquet",
    prompt: Prompt | None = None,
) -> trainers.Written:
    """Write a version into the folder `to`; images go into the rows or into a folder next to them.

    `prompt` is the prompt of trl, sharegpt, swift and the rows of a training method; by default the
    rollout prompt. Returns the files, and why rows were left out. Raises UsageError.
    """
    with_rows(version)
    if format not in FORMATS and not is_method(format):
        raise UsageError(
            f"--format {format!r} is not a format; choose {', '.join((*FORMATS, *BUILT_IN))}, or a "
            "training method of your own"
        )
    if prompt and format in WITHOUT_PROMPT:
        raise UsageError(f"--format {format} holds questions, not prompts; leave out --prompt")
    if to.exists() and not to.is_dir():
        raise UsageError(f"--to {str(to)!r} is a file; name a folder")
    asked = prompt or ROLLOUT
    with ImageStore(workspace.images_folder, read_only=True) as images:
        if format == "sharegpt":
            return trainers.write_sharegpt(version, images, to, asked)
        if format == "swift":
            return trainers.write_swift(version, images, to, asked)
        if format == "easyr1":
            return trainers.write_easyr1(version, images, to)
        written = trainers.Written()
        if format == "parquet":
            written.files = list(parquet_shards(version, images, to))
        elif format == "jsonl":
            written.files = [write_jsonl(version, images, to)]
        elif format == "vlmevalkit":
            written.files = evaluators.write_vlmevalkit(version, images, to)
        elif format == "lmms-eval":
            written.files = evaluators.write_lmms_eval(version, images, to)
        else:
            method, rows = rows_for(workspace, version, None if format == "trl" else format)
            file = to / "train.parquet"
            made = write_trl(
                version,
                file,
                method,
                prompt=asked,
                load_image=images.read,
                rows=rows,
                refused=image_token,
            )
            written.files, written.left_out = [made.file], made.failed
        return written
