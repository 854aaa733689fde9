"""TRL's input, as Parquet: rows with their images embedded, resized once to the training's pixels.

`datasets.load_dataset("parquet", ...)` reads the files back with the images decoded. Images are
resized here and not only by the processor, because vLLM inside TRL never sees a pixel limit that
is set in memory, and a difference of one image token crashes the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.images.pixels import Pixels, fitted
from vlt.process_pool import shared_out
from vlt.prompts import CannotAsk, Prompt, render
from vlt.train.hints import TRACE
from vlt.train.method import Method, Row
from vlt.workspace.features import IMAGES, described
from vlt.workspace.files import replaced
from vlt.workspace.progress import report_progress
from vlt.workspace.store import Dataset

LoadImage = Callable[[str], bytes]

ROWS_A_GROUP = 128
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


@dataclass
class Exported:
    """What became of the rows."""

    file: Path
    rows_in: int = 0
    rows: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """reason -> rows that were left out."""
    images: bool = False
    """Whether any row has one."""


def _nothing(row: Row) -> None:
    """Rejects no row."""


def write_trl(
    dataset: Dataset,
    to: Path,
    method: Method,
    *,
    prompt: Prompt,
    load_image: LoadImage,
    pixels: Pixels | None = None,
    rows: pa.Table | None = None,
    refused: Callable[[Row], str | None] = _nothing,
) -> Exported:
    """Write a dataset's rows to the file `to` in the method's format.

    `rows` replaces the dataset's own (see Method.rows). A row that cannot be used (no response, no
    gold answer, a broken image, or one for which `refused` gives a reason) is left out and counted, never
    fatal.
    """
    shape = _shape(prompt, _rows(dataset, rows))
    exported = Exported(to, images=shape.images)
    columns = method.columns()
    if rows is not None and TRACE in rows.column_names:
        columns = columns.append(rows.schema.field(TRACE))
    arrow = _arrow_schema(columns, shape)
    to.parent.mkdir(parents=True, exist_ok=True)
    job = _Examples(method.example, prompt, load_image, pixels, refused, shape, arrow)
    total = dataset.manifest.rows if rows is None else rows.num_rows
    groups = -(-total // ROWS_A_GROUP)
    with (
        replaced(to) as part,
        pq.ParquetWriter(part, arrow, compression="zstd", compression_level=1) as writer,
        closing(shared_out(job, _groups(_rows(dataset, rows)), groups, to.parent)) as made,
    ):
        for good, reasons in made:
            writer.write_table(good)
            exported.rows += good.num_rows
            exported.rows_in += good.num_rows + len(reasons)
            exported.failed.update(reasons)
            report_progress(exported.rows_in, total)
    return exported


@dataclass(frozen=True)
class _Examples:
    """The job of a pool: rows as TRL reads them, and why others cannot be used."""

    own: Callable[[Row], Row | str]
    """See Method.example."""
    prompt: Prompt
    load_image: LoadImage
    pixels: Pixels | None
    refused: Callable[[Row], str | None]
    shape: _Shape
    schema: pa.Schema

    def __call__(self, rows: list[Row]) -> tuple[pa.Table, list[str]]:
        made = [self.refused(row) or self._example(row) for row in rows]
        good = [example for example in made if not isinstance(example, str)]
        reasons = [reason for reason in made if isinstance(reason, str)]
        return pa.Table.from_pylist(good, self.schema), reasons

    def _example(self, row: Row) -> Row | str:
        if row.get("images_shown") is not None:
            return "answered with other images than its own"
        own, shape = self.own(row), self.shape
        if isinstance(own, str):
            return own
        said = {name: _messages(value, shape) for name, value in own.items() if _is_messages(value)}
        try:
            asked = {"prompt": _messages(render(self.prompt, row, images=True), shape)}
        except CannotAsk as error:
            return str(error)
        example: Row = {**row, **own, **asked, **said}
        if shape.images:
            try:
                example["images"] = [
                    {"bytes": fitted(self.load_image(sha), self.pixels), "path": None}
                    for sha in row["images"]
                ]
            except (
                OSError,
                ValueError,
                SyntaxError,
            ):  # what Pillow raises for bytes it cannot read
                return "broken image"
        return example


def _groups(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while group := list(islice(rows, ROWS_A_GROUP)):
        yield group


def _rows(dataset: Dataset, rows: pa.Table | None) -> Iterator[Row]:
    batches = dataset.batches(size=1000) if rows is None else rows.to_batches(max_chunksize=1000)
    for batch in batches:
        yield from batch.to_pylist()


@dataclass(frozen=True)
class _Shape:
    images: bool
    """Whether any row has an image, so that there is a column for them."""
    blocks: bool
    """Whether any image is inside the text, so that contents are blocks and not strings."""


def _shape(prompt: Prompt, rows: Iterator[Row]) -> _Shape:
    """TRL puts images before the text of a string; images elsewhere require blocks."""
    images = blocks = False
    for row in rows:
        if row["images"]:
            images = True
            try:
                messages = render(prompt, row, images=True)
            except CannotAsk:  # reported when the row is written
                continue
            if _leading(messages) is None or any(type(m["content"]) is list for m in messages[:-1]):
                blocks = True
                break
    return _Shape(images, blocks)


def _leading(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The text of a user message if it is one block and all images come before it, else None."""
    content = messages[-1]["content"]
    if isinstance(content, str):
        return content
    texts = [block for block in content if block["type"] == "text"]
    return texts[0]["text"] if len(texts) == 1 and content[-1] is texts[0] else None


def _messages(messages: Sequence[Mapping[str, Any]], shape: _Shape) -> list[Row]:
    if not shape.blocks:
        return [{"role": m["role"], "content": _leading([m]) or ""} for m in messages]
    return [{"role": m["role"], "content": _blocks(m["content"])} for m in messages]


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(m, dict) and "role" in m for m in value)


def _blocks(content: Any) -> list[Row]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [{"type": block["type"], "text": block.get("text")} for block in content]


def _arrow_schema(schema: pa.Schema, shape: _Shape) -> pa.Schema:
    """`schema` with columns for the images' bytes, and the metadata that `datasets` needs to decode them."""
    content = pa.string()
    if shape.blocks:
        content = pa.list_(pa.struct([("type", pa.string()), ("text", pa.string())]))
    messages = pa.list_(pa.struct([("role", pa.string()), ("content", content)]))
    fields = []
    for f in schema:
        if f.type == MESSAGES:
            fields.append(pa.field(f.name, messages))
        elif f.name != "images":
            fields.append(f)
        elif shape.images:
            fields.append(pa.field("images", IMAGES))
    return described(fields)
