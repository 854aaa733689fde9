"""Hashes of words and n-grams of a text column, in numpy over Arrow's bytes.

A word's hash is a polynomial in its bytes modulo 2^64, read off a running sum as the difference of
two places. Texts are taken in blocks of 256 KB, so that the arrays stay in the cache.
Case does not count. Words are parted by whitespace and by the marks in `APART`; the signs of
arithmetic belong to a word, since "3 < 5" is not "3 > 5".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from filters.text import Bytes, Ints, buffers

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
BLOCK = 1 << 18
"""Bytes of text in a block; a longer text is a block by itself."""
LONGEST = 1 << 22
"""Bytes of a text that are looked at; what comes behind says nothing new about a looped text."""
APART = b".,;:!?\"'`()[]{}|"

# glibc gives a freed block of megabytes back to the system, and faulting it in again costs more than
# the arithmetic on it. Freeing one of this size once teaches it to keep what is smaller.
np.empty(30 << 20, np.uint8)

_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


# Each byte as it is hashed: letters in lower case, and 0 for what parts words.
_FOLDED = bytes(
    0 if byte <= ord(" ") or byte in APART else ord(chr(byte).lower()) if byte < 128 else byte
    for byte in range(256)
)


@lru_cache(maxsize=2)
def _powers(size: int) -> tuple[Hashes, Hashes]:
    """(base^i, base^-i) for i below `size`."""
    both = []
    for base in (_BASE, _INVERSE):
        powers = np.full(size, base, np.uint64)
        powers[0] = 1
        both.append(np.cumprod(powers, dtype=np.uint64))
    return both[0], both[1]


def mixed(hashes: Hashes) -> Hashes:
    """Every bit of the result depends on every bit given."""
    hashes = hashes ^ (hashes >> np.uint64(31))
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(29)
    return hashes


@dataclass(frozen=True)
class Block:
    """Some texts in a row, by their words."""

    start: int
    """The first text's number in its column."""
    words: Hashes
    """[words of all texts]"""
    offsets: Ints
    """[texts + 1] into `words`."""
    numbers: Hashes
    """[texts] a hash of the digits that stand in it, whatever their order; 0 for none."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def grams(self, size: int) -> tuple[Hashes, Ints]:
        """Hashes of the n-grams of `size` words [grams], and the offsets [texts + 1] into them.

        A text of fewer words, but not none, is one gram.
        """
        powers, inverse = _powers(BLOCK if len(self.words) < BLOCK else LONGEST)
        sums = np.zeros(len(self.words) + 1, np.uint64)
        np.cumsum(self.words * powers[: len(self.words)], out=sums[1:])
        counts = np.diff(self.offsets)
        each = np.where(counts == 0, 0, np.maximum(counts - size + 1, 1))
        offsets = np.concatenate([[0], np.cumsum(each)])
        first = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1] - offsets[:-1], each)
        last = np.minimum(first + size, np.repeat(self.offsets[1:], each))
        return mixed((sums.take(last) - sums.take(first)) * inverse.take(first)), offsets


def word_blocks(column: pa.Array) -> Iterator[Block]:
    """The column's texts by their words."""
    data, offsets = buffers(column)
    start = 0
    while start < len(column):
        end = int(np.searchsorted(offsets, offsets[start] + BLOCK, side="right")) - 1
        end = min(max(end, start + 1), len(column))
        last = min(int(offsets[end]), int(offsets[start]) + LONGEST)
        local = np.minimum(offsets[start : end + 1], last) - offsets[start]
        yield _block(start, data[offsets[start] : last], local)
        start = end


def _block(start: int, data: Bytes, offsets: Ints) -> Block:
    if not len(data):
        texts = len(offsets) - 1
        return Block(start, np.zeros(0, np.uint64), offsets * 0, np.zeros(texts, np.uint64))
    powers, inverse = _powers(BLOCK if len(data) <= BLOCK else LONGEST)
    sums = np.empty(len(data) + 1, np.uint64)
    sums[0] = 0
    folded = np.frombuffer(data.tobytes().translate(_FOLDED), np.uint8)
    np.cumsum(np.multiply(folded, powers[: len(data)], dtype=np.uint64), out=sums[1:])
    begin, end = _runs(folded != 0, offsets)
    words = mixed((sums.take(end) - sums.take(begin)) * inverse.take(begin))
    first, last = _runs((data - ord("0")).view(np.uint8) < 10, offsets)
    digits = mixed((sums[last] - sums[first]) * inverse[first])
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(digits, dtype=np.uint64)])
    numbers = np.diff(total[np.searchsorted(first, offsets)])
    return Block(start, words, np.searchsorted(begin, offsets).astype(np.int64), numbers)


def _runs(inside: np.ndarray[Any, np.dtype[np.bool_]], offsets: Ints) -> tuple[Ints, Ints]:
    """Where runs of True begin and end; a run ends where a text does."""
    bounded = np.zeros(len(inside) + 2, bool)
    bounded[1:-1] = inside
    edge = bounded[1:] != bounded[:-1]
    inner = offsets[1:-1]
    inner = inner[(inner > 0) & (inner < len(inside))]
    across = np.unique(inner[inside[inner] & inside[inner - 1]])
    edges = np.flatnonzero(edge)
    if len(across):  # a text ends and another begins without a space: an end and a beginning
        both = np.repeat(across, 2)
        edges = np.insert(edges, np.searchsorted(edges, both), both)
    return edges[::2], edges[1::2]
