"""WebDataset: a tar in which files with the same name up to the first dot are one row.

`0001.jpg` and `0001.json` are a row with the columns of the JSON and `images`; several images of a row
are `0001.0.jpg`, `0001.1.jpg`; any other file is a column named by its ending (`0001.txt`,
`0001.answer.txt`).
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlt.datagen.sources.formats import exact
from vlt.datagen.sources.formats.opened import READ_ERRORS, open_binary, unreadable
from vlt.datagen.sources.record import Row, Unreadable
from vlt.images.inspect import MAX_BYTES

IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
KEY = "__key__"


def tar_rows(file: Path, leave_out: Sequence[str]) -> Iterator[Row | Unreadable]:
    """The rows in the order of the tar."""
    with open_binary(file) as opened:
        try:
            with tarfile.open(fileobj=opened, mode="r|") as tar:
                yield from _rows(tar, "images" in leave_out)
        except (tarfile.TarError, *READ_ERRORS) as error:
            raise unreadable(file, error) from None


def _rows(tar: tarfile.TarFile, without_images: bool) -> Iterator[Row | Unreadable]:
    key: str | None = None
    row: dict[str, Any] = {}
    broken = ""
    for member in tar:
        if not member.isfile() or _hidden(member.name):
            continue
        folder, slash, name = member.name.rpartition("/")
        start, _, field = name.partition(".")
        named = f"{folder}{slash}{start}"
        if named != key:
            if key is not None:
                yield Unreadable(key, broken) if broken else row
            key, row, broken = named, {KEY: named}, ""
        taken = tar.extractfile(member)
        assert taken is not None, "a regular file is readable"
        data = taken.read(MAX_BYTES + 1)
        field = field.lower()
        if field.rpartition(".")[2] in IMAGES:
            if not without_images:
                row.setdefault("images", []).append(data)
            continue
        try:
            _add(row, field, data)
        except (ValueError, RecursionError):
            broken = f"broken {field} (in {named})"
    if key is not None:
        yield Unreadable(key, broken) if broken else row


def _add(row: dict[str, Any], field: str, data: bytes) -> None:
    if field == "json":
        value = exact.loads(data)
        if not isinstance(value, dict):
            raise ValueError("no object")
        row.update(value)
    elif field.endswith(".json"):
        row[field.removesuffix(".json")] = exact.loads(data)
    else:
        row[field.removesuffix(".txt") or field] = data.decode().strip()


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
