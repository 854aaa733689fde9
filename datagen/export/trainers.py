"""Exports for trainers other than TRL: LLaMA-Factory (ShareGPT JSON) and EasyR1 / verl (Parquet)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.datagen.export.files import image_cell, image_file, plain_rows, write_parquet_rows
from vlt.errors import UsageError
from vlt.images.store import ImageStore
from vlt.prompts import PLACEHOLDER, Prompt, plain_messages, question_text
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


def write_sharegpt(dataset: Dataset, images: ImageStore, folder: Path, prompt: Prompt) -> Path:
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
    with replaced(file) as part, open(part, "w", encoding="utf-8") as out:
        out.write("[")
        before = "\n"
        for row in plain_rows(dataset):
            if row["response"]:
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
    return file


def write_easyr1(dataset: Dataset, images: ImageStore, folder: Path) -> Path:
    """Write train.parquet with problem, answer and images, one row an item.

    The columns are those that EasyR1's configuration names by default (data.prompt_key=problem,
    answer_key=answer, image_key=images); its format prompt is added by the trainer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "train.parquet"
    write_parquet_rows(file, _problems(dataset, images), embedded(EASYR1))
    return file


def _conversation(
    row: dict[str, Any], images: ImageStore, folder: Path, prompt: Prompt
) -> dict[str, Any]:
    *before, last = plain_messages(prompt, row)
    if not any(PLACEHOLDER in message["content"] for message in before):
        last = {**last, "content": with_placeholders(last["content"], len(row["images"]))}
    messages = [
        *before,
        last,
        # A placeholder in what the model wrote would ask for an image that is not there.
        {"role": "assistant", "content": row["response"].replace(PLACEHOLDER, "")},
    ]
    return {
        "messages": messages,
        "images": [image_file(images, sha256, folder) for sha256 in row["images"]],
    }


def _problems(dataset: Dataset, images: ImageStore) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for row in plain_rows(dataset):
        if row["id"] in seen:
            continue
        seen.add(row["id"])
        yield {
            "problem": with_placeholders(question_text(row), len(row["images"])),
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
