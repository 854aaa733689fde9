"""A custom reward that differs between samples, whatever a model with random weights says."""

from __future__ import annotations

import zlib


def letters(completions: list[list[dict[str, str]]], **_: object) -> list[float]:
    """Some number of each response's text."""
    return [zlib.crc32(c[-1]["content"].encode()) % 7 / 7 for c in completions]
