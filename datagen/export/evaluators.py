"""Exports for evaluation programs: VLMEvalKit (TSV) and lmms-eval (a task folder)."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from vlt.datagen.export.cells import image_cell
from vlt.datagen.export.files import plain_rows, write_parquet_rows
from vlt.errors import UsageError
from vlt.images.store import ImageStore
from vlt.process_pool import shared_out
from vlt.prompts import LETTERS, PLACEHOLDER, question_text
from vlt.workspace.files import replaced, write_text
from vlt.workspace.store import Dataset

ROWS_AT_ONCE = 200
LMMS = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.string()),
        ("answer", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("images", pa.list_(pa.string())),  # replaced by the images themselves
        ("source", pa.string()),
    ]
)
UTILS = '''\
"""The functions that lmms-eval calls for this task; change `right` for another comparison."""

import re


def doc_to_visual(doc):
    return [image.convert("RGB") for image in doc["images"]]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    given = lmms_eval_specific_kwargs or {}
    return given.get("pre_prompt", "") + doc["question"] + given.get("post_prompt", "")


def process_results(doc, results):
    return {"exact_match": float(right(results[0], doc["answer"]))}


def right(response, gold):
    """Whether the text in the last <answer> (else the last line) is the gold answer."""
    tagged = re.findall(r"<answer>(.*?)</answer>", response, re.S)
    lines = [line for line in response.splitlines() if line.strip()] or [""]
    return plain(tagged[-1] if tagged else lines[-1]) == plain(gold)


def plain(text):
    return re.sub(r"^\\((\\w)\\)$", r"\\1", " ".join(text.casefold().split()).strip(" .$"))
'''
_TASK = """\
# lmms-eval --tasks {name} --include_path {folder}
# The path of the data is absolute: change it if the folder is moved.
"""


def write_vlmevalkit(dataset: Dataset, images: ImageStore, folder: Path) -> list[Path]:
    """Write <name>.tsv for $LMUData: index, image (base64), question, answer, and for choices A, B, ...

    VLMEvalKit treats a file with the columns A and B as multiple choice throughout, so if a version has
    both, open questions go to <name>_VQA.tsv. An item with several images has a list of them, and their
    names in image_path. Raises UsageError for items without an image, which VLMEvalKit does not support.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = dataset.manifest.name
    most = max((len(row["choices"]) for row in _items(dataset)), default=0)
    free = any(not row["choices"] for row in _items(dataset))
    files = []
    for choices in (True, False):
        if not (most if choices else free):
            continue
        file = folder / (f"{name}_VQA.tsv" if most and not choices else f"{name}.tsv")
        letters = LETTERS[:most] if choices else ""
        with replaced(file) as part, open(part, "w", encoding="utf-8", newline="") as out:
            columns = ["index", "image", "image_path", "question", *letters, "answer", "category"]
            job = _Questions(images, (*columns, "id"), dataset.ref)
            job.writer(out).writeheader()
            rows = (
                (index, row)
                for index, row in enumerate(_items(dataset))
                if bool(row["choices"]) == choices
            )
            total = dataset.manifest.rows // ROWS_AT_ONCE
            with closing(shared_out(job, _grouped(rows), total, folder)) as made:
                out.writelines(made)
        files.append(file)
    return files


def write_lmms_eval(dataset: Dataset, images: ImageStore, folder: Path) -> list[Path]:
    """Write an lmms-eval task: <name>.yaml, utils.py and the items in data/test.parquet."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    name, data = dataset.manifest.name, folder / "data" / "test.parquet"
    write_parquet_rows(data, _documents(dataset), LMMS, images, dataset.manifest.rows)
    task = {
        "task": name,
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {"test": str(data.resolve())}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_visual": "!function utils.doc_to_visual",
        "doc_to_text": "!function utils.doc_to_text",
        "doc_to_target": "answer",
        "generation_kwargs": {"max_new_tokens": 2048, "temperature": 0, "do_sample": False},
        "process_results": "!function utils.process_results",
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": [{"version": dataset.manifest.version}],
    }
    text = yaml.safe_dump(task, sort_keys=False, allow_unicode=True)
    # A YAML tag of lmms-eval, which must not be quoted.
    text = text.replace("'!function ", "!function ").replace("'\n", "\n")
    file = folder / f"{name}.yaml"
    write_text(_TASK.format(name=name, folder=folder) + text, file)
    write_text(UTILS, folder / "utils.py")
    return [file, folder / "utils.py", data]


@dataclass(frozen=True)
class _Questions:
    """The job of a pool: numbered items as lines of a TSV."""

    images: ImageStore
    columns: tuple[str, ...]
    ref: str

    def writer(self, out: Any) -> Any:
        """The CSV writer for a file."""
        return csv.DictWriter(out, self.columns, delimiter="\t", lineterminator="\n")

    def __call__(self, rows: list[tuple[int, dict[str, Any]]]) -> str:
        out = io.StringIO(newline="")
        writer = self.writer(out)
        for index, row in rows:
            writer.writerow({"index": index, **_asked(row, self.images, self.ref)})
        return out.getvalue()


def _grouped(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while group := list(islice(rows, ROWS_AT_ONCE)):
        yield group


def _items(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Each item once, even if a version of samples has it several times."""
    seen: set[str] = set()
    names = ["id", "source", "question", "choices", "answer", "images"]
    for row in plain_rows(dataset, names):
        if row["id"] not in seen:
            seen.add(row["id"])
            yield row


def _asked(row: dict[str, Any], images: ImageStore, ref: str) -> dict[str, Any]:
    """A row of the TSV; image placeholders are removed."""
    if not row["images"]:
        raise UsageError(
            f"item {row['id']} of {ref} has no image, which VLMEvalKit needs; export a version "
            "without such items"
        )
    cells = [image_cell(images, sha256) for sha256 in row["images"]]
    encoded = [base64.b64encode(cell["bytes"]).decode() for cell in cells]
    paths = [cell["path"] for cell in cells]
    alone = len(cells) == 1
    return {
        "image": encoded[0] if alone else str(encoded),
        "image_path": paths[0] if alone else str(paths),
        "question": row["question"].replace(PLACEHOLDER, "").strip(),
        **dict(zip(LETTERS, row["choices"], strict=False)),
        "answer": _letter(row),
        "category": row["source"],
        "id": row["id"],
    }


def _documents(dataset: Dataset) -> Iterator[dict[str, Any]]:
    for row in _items(dataset):
        yield {
            **row,
            "question": question_text(row).replace(PLACEHOLDER, "").strip(),
            "answer": _letter(row),
        }


def _letter(row: dict[str, Any]) -> str:
    """The letter of the gold choice; the answer itself if there are none."""
    answer, choices = row["answer"] or "", row["choices"]
    return LETTERS[choices.index(answer)] if answer in choices else answer
