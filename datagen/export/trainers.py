"""Exports for trainers other than TRL: LLaMA-Factory (ShareGPT JSON), ms-swift, EasyR1 / verl."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.datagen.export.files import image_cell, image_file, plain_rows, write_parquet_rows
from vlt.errors import UsageError
from vlt.images.store import ImageStore
from vlt.prompts import PLACEHOLDER, Prompt, image_token, plain_messages, question_text
from vlt.workspace.features import embedded
from vlt.workspace.files import replaced, write_json
from vlt.workspace.store import Dataset

EASYR1 = pa.schema(
    [
        ("problem", pa.string()),
        ("answer", pa.string()),
        ("images", pa.list_(pa.string())),  # replaced by the images themselves
        ("id", pa.string()),
        ("source", pa.string()),
    ]
)
READ_AS_MEDIA = re.compile(r"<(video|audio|ref-object|bbox|cot-process)>")
"""Words that LLaMA-Factory or ms-swift take for a place where something is to be put in."""
Row = dict[str, Any]


@dataclass
class Written:
    """Files that an export wrote, and the rows that it could not use."""

    files: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """reason -> rows."""


def write_sharegpt(dataset: Dataset, images: ImageStore, folder: Path, prompt: Prompt) -> Written:
    """Write <name>.json, dataset_info.json and images/ as LLaMA-Factory's `dataset_dir` has them.

    One conversation a response, with as many <image> in it as images. Raises UsageError for rows
    without responses.
    """
    if dataset.kind != "sample":
        raise UsageError(
            f"{dataset.ref} holds {dataset.kind}s and ShareGPT takes responses; name samples "
            "such as `vlt filter` makes"
        )
    folder.mkdir(parents=True, exist_ok=True)
    name = dataset.manifest.name
    file = folder / f"{name}.json"
    written = Written([file])
    with replaced(file) as part, open(part, "w", encoding="utf-8") as out:
        out.write("[")
        before = "\n"
        for row in _usable(dataset, written):
            out.write(before + json.dumps(_conversation(row, images, folder, prompt)))
            before = ",\n"
        out.write("\n]\n")
    info = {
        name: {
            "file_name": file.name,
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "images": "images"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "system_tag": "system",
            },
        }
    }
    write_json(info, folder / "dataset_info.json", indent=1)
    return written


def write_swift(dataset: Dataset, images: ImageStore, folder: Path, prompt: Prompt) -> Written:
    """Write train.jsonl and images/ as ms-swift reads its own datasets: messages and images, and for
    items, which GRPO takes, the gold answer as `solution`.

    Image paths are relative: ROOT_IMAGE_DIR tells ms-swift the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "train.jsonl"
    written = Written([file])
    with replaced(file) as part, open(part, "w", encoding="utf-8") as out:
        for row in _usable(dataset, written):
            made = _conversation(row, images, folder, prompt)
            if dataset.kind != "sample":
                made["solution"] = row["answer"]
            out.write(json.dumps(made, ensure_ascii=False) + "\n")
    return written


def write_easyr1(dataset: Dataset, images: ImageStore, folder: Path) -> Written:
    """Write train.parquet with problem, answer and images, one row an item.

    The columns are those that EasyR1's configuration names by default (data.prompt_key=problem,
    answer_key=answer, image_key=images); its format prompt is added by the trainer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "train.parquet"
    written = Written([file])
    write_parquet_rows(file, _problems(dataset, images, written), embedded(EASYR1))
    return written


def _usable(dataset: Dataset, written: Written) -> Iterator[Row]:
    """The rows that a trainer can take; the others are counted."""
    needed, missing = (
        ("response", "no response") if dataset.kind == "sample" else ("answer", "no gold answer")
    )
    for row in plain_rows(dataset):
        if row.get("images_shown") is not None:
            written.left_out["answered with other images than its own"] += 1
        elif reason := (None if row[needed] else missing) or image_token(row):
            written.left_out[reason] += 1
        else:
            yield row


def _conversation(row: Row, images: ImageStore, folder: Path, prompt: Prompt) -> Row:
    *before, last = (
        {**message, "content": _words_only(message["content"])}
        for message in plain_messages(prompt, row)
    )
    if not any(PLACEHOLDER in message["content"] for message in before):
        last = {**last, "content": with_placeholders(last["content"], len(row["images"]))}
    messages = [*before, last]
    if "response" in row:
        # A placeholder in what the model wrote would ask for an image that is not there.
        said = _words_only(row["response"]).replace(PLACEHOLDER, "")
        messages.append({"role": "assistant", "content": said})
    return {
        "messages": messages,
        "images": [image_file(images, sha256, folder) for sha256 in row["images"]],
    }


def _words_only(text: str) -> str:
    """The text with `<video>` and the like written so that a reader sees them and a trainer does not."""
    return READ_AS_MEDIA.sub(r"< \1 >", text)


def _problems(dataset: Dataset, images: ImageStore, written: Written) -> Iterator[Row]:
    seen: set[str] = set()
    for row in plain_rows(dataset):
        if row["id"] in seen:
            continue
        seen.add(row["id"])
        if reason := image_token({**row, "response": None}):
            written.left_out[reason] += 1
            continue
        yield {
            "problem": with_placeholders(
                question_text({**row, "choice_order": None}), len(row["images"])
            ),
            "answer": row["answer"],
            "images": [image_cell(images, sha256) for sha256 in row["images"]],
            "id": row["id"],
            "source": row["source"],
        }


def with_placeholders(text: str, images: int) -> str:
    """The text with exactly `images` times <image>: as it is, or all of them first."""
    if text.count(PLACEHOLDER) == images:
        return text
    return PLACEHOLDER * images + text.replace(PLACEHOLDER, "")
