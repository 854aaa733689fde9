"""File formats: one module per format, and the table that maps file endings to formats.

A format is a function from a file to its rows; a new one is a module here and a line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlt.datagen.sources.formats.arrow import arrow_columns, arrow_rows
from vlt.datagen.sources.formats.csv import csv_rows
from vlt.datagen.sources.formats.documents import json_rows
from vlt.datagen.sources.formats.jsonl import jsonl_rows
from vlt.datagen.sources.formats.opened import COMPRESSED
from vlt.datagen.sources.formats.parquet import parquet_columns, parquet_rows
from vlt.datagen.sources.formats.tar import tar_rows
from vlt.datagen.sources.record import Row, Unreadable


@dataclass(frozen=True)
class Format:
    """How files with one ending are read."""

    rows: Callable[[Path, Sequence[str]], Iterator[Row | Unreadable]]
    """The rows of a file, in order; columns in the second argument need not be read."""
    columns: Callable[[Path], list[str]] | None = None
    """The names of the columns, if the file has a schema; otherwise they are taken from the first rows."""
    compressed: bool = True
    """Whether the file may be compressed as a whole (`rows.jsonl.gz`)."""


JSONL = Format(lambda file, _: jsonl_rows(file))
ARROW = Format(arrow_rows, arrow_columns, compressed=False)
FORMATS: dict[str, Format] = {
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".json": Format(lambda file, _: json_rows(file)),
    ".csv": Format(lambda file, _: csv_rows(file, ",")),
    ".tsv": Format(lambda file, _: csv_rows(file, "\t")),
    ".parquet": Format(parquet_rows, parquet_columns, compressed=False),
    ".arrow": ARROW,
    ".feather": ARROW,
    ".tar": Format(tar_rows),
}
"""Ending -> format, the likeliest first."""
ENDINGS = tuple(FORMATS)


def ending_of(file: Path) -> str:
    """The ending that determines the format, without a compression's: .jsonl for rows.jsonl.gz."""
    if file.suffix.lower() == ".tgz":
        return ".tar"
    inner = file.with_suffix("") if file.suffix.lower() in COMPRESSED else file
    return inner.suffix.lower()


def format_of(file: Path) -> Format | None:
    """The file's format; None if it is not a file of rows."""
    found = FORMATS.get(ending_of(file))
    packed = file.suffix.lower() in COMPRESSED
    return None if found and packed and not found.compressed else found


def stem_of(file: Path) -> str:
    """The file's name without the endings of format and compression."""
    inner = file.with_suffix("") if file.suffix.lower() in COMPRESSED else file
    return inner.stem
