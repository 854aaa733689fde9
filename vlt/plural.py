"""Counts with their nouns."""

from __future__ import annotations


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 item`, `1,234 items`; `nouns` is the plural if it is not formed with an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
