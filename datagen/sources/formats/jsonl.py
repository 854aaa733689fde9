"""JSONL: one object per line. A broken line fails one row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vlt.datagen.sources.formats import exact
from vlt.datagen.sources.formats.opened import READ_ERRORS, open_text, unreadable
from vlt.datagen.sources.record import Row, Unreadable

MAX_LINE = 64 << 20


def jsonl_rows(file: Path) -> Iterator[Row | Unreadable]:
    """The rows; a file of whole JSON documents under this name is read like `.json`."""
    from vlt.datagen.sources.formats.documents import document_rows, holds_documents

    if holds_documents(file):
        yield from document_rows(file)
    else:
        yield from lines(file)


def lines(file: Path) -> Iterator[Row | Unreadable]:
    """A row for each line that is not blank."""
    with open_text(file) as opened:
        try:
            yield from _lines(opened)
        except READ_ERRORS as error:
            raise unreadable(file, error) from None


def _lines(opened: IO[bytes]) -> Iterator[Row | Unreadable]:
    number = 0
    while line := opened.readline(MAX_LINE):
        number += 1
        if not line.endswith(b"\n") and len(line) == MAX_LINE:
            start = line[:200]
            while (more := opened.readline(MAX_LINE)) and not more.endswith(b"\n"):
                pass
            reason = f"line is too long (line {number}, more than {MAX_LINE:,} bytes)"
            yield Unreadable(start.decode(errors="replace"), reason)
        elif line.strip():
            yield line_row(line, number)


def line_row(line: bytes, number: int) -> Row | Unreadable:
    """The object of a line, or why there is none."""
    try:
        row = exact.loads(line)
    except UnicodeDecodeError:
        return Unreadable(line[:4000].decode(errors="replace"), f"not UTF-8 (line {number})")
    except (ValueError, RecursionError) as error:
        words = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        words, shown = words.split(":")[0], line[:4000].decode(errors="replace")
        return Unreadable(shown, f"broken JSON (line {number}: {words})")
    if not isinstance(row, dict):
        reason = f"no JSON object (line {number} is a {type(row).__name__})"
        return Unreadable(line[:4000].decode(errors="replace"), reason)
    return row
