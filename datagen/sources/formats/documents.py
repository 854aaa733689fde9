"""JSON files: a list of rows, an object with rows in it, or a sequence of objects.

Known objects: `{id: row}`, the rows under one key beside other keys, `{split: rows}`, a single row,
and pandas' tables by column (`{column: [...]}`, `{column: {index: value}}`, columns, index and data).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from vlt.datagen.sources.columns import NAMES
from vlt.datagen.sources.conversations import COLUMNS
from vlt.datagen.sources.formats.exact import DECODER
from vlt.datagen.sources.formats.jsonl import MAX_LINE, lines
from vlt.datagen.sources.formats.opened import READ_ERRORS, open_text, unreadable
from vlt.datagen.sources.record import Row, Unreadable
from vlt.errors import UsageError, UserError

ID = "id"
"""The column for the key of `{id: row}`."""
KNOWN = frozenset(name for names in NAMES.values() for name in names)
ROW = frozenset([*NAMES["question"], *NAMES["answer"], *COLUMNS])
"""An object with one of these keys is a row itself."""


def json_rows(file: Path, split: str | None = None) -> Iterator[Row | Unreadable]:
    """The rows of a file in any of the known forms; raises UserError if it has none of them."""
    if not _is_document(file) and not holds_documents(file):
        yield from lines(file)
        return
    yield from document_rows(file, split)


def document_rows(file: Path, split: str | None = None) -> Iterator[Row | Unreadable]:
    """The rows of a file known to be one JSON document, or several."""
    for number, row in enumerate(document(file, split), 1):
        if isinstance(row, dict):
            yield row
        else:
            yield Unreadable(json.dumps(row)[:4000], f"no JSON object (number {number})")


def document(file: Path, split: str | None = None) -> list[Any]:
    """The rows of a file that is one JSON document, or several in sequence."""
    values = _values(file, file.stat().st_mtime_ns)
    if len(values) == 1:
        return _rows(file, values[0], split)
    return [row for value in values for row in (value if isinstance(value, list) else [value])]


def holds_documents(file: Path) -> bool:
    """Whether a file named as JSONL is not: its first line is incomplete, but the whole text is valid."""
    with open_text(file) as opened:
        try:
            line = _first_line(opened)
        except READ_ERRORS as error:
            raise unreadable(file, error) from None
    if line.lstrip()[:1] not in (b"{", b"[") or len(line) >= MAX_LINE:
        return False
    try:
        return isinstance(orjson.loads(line), list) and _is_document(file)
    except ValueError:
        pass
    try:
        return all(isinstance(v, dict | list) for v in _values(file, file.stat().st_mtime_ns))
    except UserError:
        return False


def _is_document(file: Path) -> bool:
    """False if the first line is an object and another line follows: JSONL under another name."""
    with open_text(file) as opened:
        try:
            first = _first_line(opened)
            second = _first_line(opened)
        except READ_ERRORS as error:
            raise unreadable(file, error) from None
    if first.lstrip()[:1] == b"[" and not second:
        return True
    try:
        whole = isinstance(orjson.loads(first), dict)
    except ValueError:
        # A broken first line of JSONL is one broken row; an object over several lines is a document.
        return not _looks_like_lines(first, second)
    return not (whole and second)


def _looks_like_lines(first: bytes, second: bytes) -> bool:
    """Whether both lines start an object in the first column, which is so in JSONL but not in documents."""
    starts = first.lstrip()[:1] == b"{" and second[:1] == b"{"
    return starts or first.lstrip()[:1] not in (b"{", b"[")


def _first_line(opened: Any) -> bytes:
    while line := opened.readline(MAX_LINE):
        if line.strip():
            return bytes(line)
    return b""


def forget_documents() -> None:
    """Free the last file's rows, after they have been imported."""
    _values.cache_clear()


@lru_cache(maxsize=1)
def _values(file: Path, changed: int) -> list[Any]:  # noqa: ARG001
    """The documents of a file; the last file's are cached, since it is read more than once."""
    with open_text(file) as opened:
        try:
            data = opened.read()
        except READ_ERRORS as error:
            raise unreadable(file, error) from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UserError(f"{str(file)!r} is not UTF-8; save it as UTF-8") from None
    values: list[Any] = []
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in " \t\r\n,":
            at += 1
        if at == end:
            return values
        try:
            value, at = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{str(file)!r} is broken JSON ({error}); correct it, or write JSONL"
            ) from None
        values.append(value)


def _rows(file: Path, value: Any, split: str | None) -> list[Any]:
    if isinstance(value, list):
        if split is not None:
            raise UsageError(f"{str(file)!r} is one list and has no splits; leave out --split")
        return value
    if not isinstance(value, dict):
        shown = json.dumps(value)[:40]
        raise UserError(f"{str(file)!r} contains {shown} instead of rows; write a list of objects")
    if table := _by_column(value):
        return table
    if value and all(isinstance(row, dict) for row in value.values()):
        return [row if ID in row else {ID: key, **row} for key, row in value.items()]
    lists = {
        key: rows
        for key, rows in value.items()
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)
    }
    if not lists or ROW & {str(key).strip().lower() for key in value}:
        return [value]
    if split is None and len(lists) == 1:
        rows = next(iter(lists.values()))
        viewed = all(isinstance(row.get("row"), dict) for row in rows)  # from the Hub's viewer API
        return [row["row"] for row in rows] if viewed else rows
    wanted = split or ("train" if "train" in lists else None)
    if wanted in lists:
        return lists[wanted]
    raise UsageError(
        f"{str(file)!r} is an object with rows under {', '.join(map(repr, lists))}; name one with "
        "--split, or write one of the lists to a separate file"
    )


def _by_column(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of a table written by pandas column by column; None if it is not one."""
    if {"columns", "data"} <= value.keys() and all(isinstance(r, list) for r in value["data"]):
        return [dict(zip(value["columns"], row, strict=False)) for row in value["data"]]
    if len(KNOWN & {str(key).strip().lower() for key in value}) < 2:
        return None
    columns = list(value.values())
    if all(isinstance(column, list) for column in columns):
        if len({len(column) for column in columns}) != 1:
            return None
        return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    if not all(isinstance(column, dict) and column for column in columns):
        return None
    places = dict.fromkeys(place for column in columns for place in column)
    return [{name: column.get(place) for name, column in value.items()} for place in places]
