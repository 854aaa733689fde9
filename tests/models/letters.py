"""A reward of one's own, which differs from sample to sample whatever a model of random weights says."""

from __future__ import annotations

import zlib


def letters(completions: list[list[dict[str, str]]], **_: object) -> list[float]:
    """Some number of each response's text."""
    return [zlib.crc32(c[-1]["content"].encode()) % 7 / 7 for c in completions]
