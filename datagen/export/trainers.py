"""Exports for trainers other than TRL: LLaMA-Factory (ShareGPT JSON), ms-swift, EasyR1 / verl."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from vlt.datagen.export.cells import image_file
from vlt.datagen.export.files import plain_rows, write_parquet_rows
from vlt.datagen.export.work import Row, lines_of
from vlt.errors import UsageError
from vlt.images.store import ImageStore
from vlt.prompts import PLACEHOLDER, Prompt, image_token, plain_messages, question_text
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
"""Words that LLaMA-Factory or ms-swift treat as placeholders for media."""


@dataclass
class Written:
    """The files written by an export, and the rows that it could not use."""

    files: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """reason -> rows."""


def write_sharegpt(dataset: Dataset, images: ImageStore, folder: Path, prompt: Prompt) -> Written:
    """Write <name>.json, dataset_info.json and images/ in the layout of LLaMA-Factory's `dataset_dir`.

    One conversation per response, with one <image> per image. Raises UsageError for datasets without
    responses.
    """
    if dataset.kind != "sample":
        raise UsageError(
            f"{dataset.ref} holds {dataset.kind}s, but ShareGPT needs responses; name samples, such as "
            "`vlt filter` makes"
        )
    folder.mkdir(parents=True, exist_ok=True)
    name = dataset.manifest.name
    file = folder / f"{name}.json"
    written = Written([file])
    conversation = _Conversation(images, folder, prompt)
    with replaced(file) as part, open(part, "w", encoding="utf-8") as out:
        out.write("[")
        before = "\n"
        for line in lines_of(dataset, conversation, _no_response, written.left_out, folder):
            out.write(before + line)
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
    """Write train.jsonl and images/ in ms-swift's format: messages and images, and for items, for GRPO,
    the gold answer as `solution`.

    Image paths are relative: set ROOT_IMAGE_DIR to the folder for ms-swift.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "train.jsonl"
    written = Written([file])
    unusable = _no_response if dataset.kind == "sample" else _no_gold
    conversation = _Conversation(images, folder, prompt, swift=True)
    with replaced(file) as part, open(part, "w", encoding="utf-8") as out:
        for line in lines_of(dataset, conversation, unusable, written.left_out, folder):
            out.write(line + "\n")
    return written


def write_easyr1(dataset: Dataset, images: ImageStore, folder: Path) -> Written:
    """Write train.parquet with problem, answer and images, one row per item.

    The columns are the defaults of EasyR1's configuration (data.prompt_key=problem, answer_key=answer,
    image_key=images); the trainer adds its format prompt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "train.parquet"
    written = Written([file])
    rows = _problems(dataset, written)
    write_parquet_rows(file, rows, EASYR1, images, dataset.manifest.rows)
    return written


def _no_response(row: Row) -> str | None:
    """Why a trainer cannot use a sample."""
    if row.get("images_shown") is not None:
        return "answered with other images than its own"
    return image_token(row) if row["response"] else "no response"


def _no_gold(row: Row) -> str | None:
    """Why a trainer cannot use an item."""
    return image_token(row) if row["answer"] else "no gold answer"


@dataclass(frozen=True)
class _Conversation:
    """Converts a row to a line of JSON: messages and image paths; the images are written too."""

    images: ImageStore
    folder: Path
    prompt: Prompt
    swift: bool = False
    """In ms-swift's format: JSON without ASCII escapes, and an item's gold as `solution`."""

    def __call__(self, row: Row) -> str:
        made = self._conversation(row)
        if self.swift and "response" not in row:
            made["solution"] = row["answer"]
        return json.dumps(made, ensure_ascii=not self.swift)

    def _conversation(self, row: Row) -> Row:
        *before, last = (
            {**message, "content": _words_only(message["content"])}
            for message in plain_messages(self.prompt, row)
        )
        if not any(PLACEHOLDER in message["content"] for message in before):
            last = {**last, "content": with_placeholders(last["content"], len(row["images"]))}
        messages = [*before, last]
        if "response" in row:
            # A placeholder in a response would require an image that does not exist.
            said = _words_only(row["response"]).replace(PLACEHOLDER, "")
            messages.append({"role": "assistant", "content": said})
        paths = [image_file(self.images, sha256, self.folder) for sha256 in row["images"]]
        return {"messages": messages, "images": paths}


def _words_only(text: str) -> str:
    """The text with `<video>` and the like changed so that trainers do not treat them as placeholders."""
    return READ_AS_MEDIA.sub(r"< \1 >", text)


def _problems(dataset: Dataset, written: Written) -> Iterator[Row]:
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
            "images": row["images"],
            "id": row["id"],
            "source": row["source"],
        }


def with_placeholders(text: str, images: int) -> str:
    """The text with exactly `images` times <image>: unchanged if so, else with all of them first."""
    if text.count(PLACEHOLDER) == images:
        return text
    return PLACEHOLDER * images + text.replace(PLACEHOLDER, "")
