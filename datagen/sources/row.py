"""A raw row, and what replaces one that cannot be read or used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]
MAX_TEXT = 100_000
"""Maximum characters of a question or a choice."""


class BadRow(Exception):
    """The row is not a valid item; `reason` says why, with what differs from row to row after a colon."""

    def __init__(self, reason: str):
        self.reason = reason.encode(errors="backslashreplace").decode()
        super().__init__(self.reason)


@dataclass(frozen=True)
class Unreadable:
    """Replaces a row that could not be read from its source."""

    raw: str
    reason: str


def raw_text(row: Row | Unreadable, length: int = 2_000) -> str:
    """A failed row as JSON, for its meta: bytes as their count, cut at `length`."""
    if isinstance(row, Unreadable):
        return row.raw.encode(errors="backslashreplace").decode()[:length]
    return json.dumps({k: plain(v, length) for k, v in row.items()}, ensure_ascii=True)[:length]


def plain(value: Any, length: int) -> Any:
    """The value converted for JSON; texts are cut at `length`, lists at 50 elements."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str):
        return whole_text(value[:length])
    if isinstance(value, Decimal):
        near = float(value)
        return near if Decimal(repr(near)) == value else number_text(value)
    if isinstance(value, Mapping):
        return {whole_text(str(k)): plain(v, length) for k, v in list(value.items())[:50]}
    if isinstance(value, list | tuple):
        return [plain(v, length) for v in value[:50]]
    return value if isinstance(value, bool | int | float | None) else str(value)[:length]


def whole_text(text: str) -> str:
    """The text with U+FFFD for unpaired surrogates, which other programs cannot read."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def number_text(value: Decimal | float) -> str:
    """A number in its usual notation: 3.25 for Decimal("3.250"), 3 for 3.0; the value is unchanged."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if abs(value.adjusted()) > 1_000:
        return str(value)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
