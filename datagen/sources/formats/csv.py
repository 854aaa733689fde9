"""CSV and TSV: with a header, in UTF-8, UTF-16 or UTF-32, with any common separator."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from vlt.datagen.sources.formats.jsonl import MAX_LINE
from vlt.datagen.sources.formats.opened import READ_ERRORS, open_text, unreadable
from vlt.datagen.sources.record import Row, Unreadable
from vlt.errors import UserError

SEPARATORS = (",", ";", "\t", "|")


def csv_rows(file: Path, separator: str) -> Iterator[Row | Unreadable]:
    """The rows, keyed by the header; `separator` is used unless the header shows another."""
    csv.field_size_limit(MAX_LINE)
    text = io.TextIOWrapper(
        cast(Any, open_text(file)), encoding="utf-8", errors="surrogateescape", newline=""
    )
    with text as opened:
        try:
            yield from _rows(file, opened, separator)
        except READ_ERRORS as error:
            raise unreadable(file, error) from None


def _rows(file: Path, opened: io.TextIOWrapper, separator: str) -> Iterator[Row | Unreadable]:
    first = opened.readline(MAX_LINE)
    if first.lower().startswith("sep=") and len(first.strip()) <= 5:  # Excel's own line
        separator, first = first.strip()[4:] or "\t", opened.readline(MAX_LINE)
    reader = csv.reader(_again(first, opened), delimiter=_separator(first, separator))
    header = [name.strip() for name in next(reader, [])]
    if len(set(header)) != len(header) or not any(header):
        raise UserError(
            f"the first line of {str(file)!r} is not a header with distinct column names; add one"
        )
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Unreadable("", f"broken CSV (line {reader.line_num}: {error})")
            continue
        if cells is None:
            return
        if cells:
            yield _row(header, cells, reader.line_num)


def _again(first: str, rest: io.TextIOWrapper) -> Iterator[str]:
    """All lines, including the first, which was read already."""
    yield first
    yield from rest


def _separator(header: str, usual: str) -> str:
    """The separator that splits the header into the most names; the usual one if it splits it at all."""

    def names(separator: str) -> int:
        return len(next(csv.reader([header], delimiter=separator), []))

    try:
        best = max(SEPARATORS, key=names)
        return best if names(best) > names(usual) and names(usual) == 1 else usual
    except csv.Error:
        return usual


def _row(header: list[str], cells: list[str], line: int) -> Row | Unreadable:
    text = io.StringIO()
    if len(cells) != len(header):
        csv.writer(text).writerow(cells)
        shown = text.getvalue().encode(errors="replace").decode()[:4000]
        return Unreadable(shown, f"wrong number of cells (line {line}: {len(cells)})")
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        shown = ",".join(cells)[:4000].encode(errors="replace").decode()
        return Unreadable(shown, f"not UTF-8 (line {line})")
    return {name: cell or None for name, cell in zip(header, cells, strict=True)}
