"""Hashes of words and n-grams of a text column, in numpy over Arrow's bytes.

A word is hashed eight bytes at a time, all words at once. Texts are processed in blocks of 256 KB, so
that the arrays stay in the cache. Case does not count. Words are separated by whitespace and by the
punctuation in `APART`, and in scripts without spaces as vlt.segment splits them; arithmetic signs belong
to a word, since "3 < 5" is not "3 > 5".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from vlt.filters.text import Bytes, Ints, buffers
from vlt.segment import numerals, segmented

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
BLOCK = 1 << 18
"""Bytes of text in a block; a longer text is a block by itself."""
LONGEST = 1 << 22
"""Bytes of a text that are read; the rest of a text that long, usually a loop, adds nothing."""
APART = b".,;:!?\"'`()[]{}|"

# glibc returns freed blocks of megabytes to the system, and faulting them in again costs more than the
# arithmetic on them. Freeing one block of this size raises its threshold, so that it keeps smaller ones.
np.empty(30 << 20, np.uint8)

_BASE = np.uint64(0x9E3779B97F4A7C15)
_FIRST_BYTES = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)
"""[size] a mask of the lowest `size` bytes."""


# Each byte as it is hashed: letters in lower case, and 0 for what separates words.
_FOLDED = bytes(
    0 if byte <= ord(" ") or byte in APART else ord(chr(byte).lower()) if byte < 128 else byte
    for byte in range(256)
)


def mixed(hashes: Hashes) -> Hashes:
    """Every bit of the result depends on every bit given."""
    hashes = hashes ^ (hashes >> np.uint64(31))
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(29)
    return hashes


@dataclass(frozen=True)
class Block:
    """Consecutive texts as hashed words."""

    start: int
    """The first text's index in its column."""
    words: Hashes
    """[words of all texts]"""
    offsets: Ints
    """[texts + 1] into `words`."""
    numbers: Hashes
    """[texts] a hash of the digits and numerals in the text, in any order; 0 for none."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def grams(self, size: int) -> tuple[Hashes, Ints]:
        """Hashes of the n-grams of `size` words [grams], and the offsets [texts + 1] into them.

        A text of fewer words, but at least one, is one gram.
        """
        counts = np.diff(self.offsets)
        each = np.where(counts == 0, 0, np.maximum(counts - size + 1, 1))
        offsets = np.concatenate([[0], np.cumsum(each)])
        first = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1] - offsets[:-1], each)
        padded = np.concatenate([self.words, np.zeros(size, np.uint64)])
        sums = self.words.copy()
        for place in range(1, size):
            sums *= _BASE
            sums += padded[place : place + len(sums)]
        grams = sums.take(first)
        short = np.flatnonzero((counts > 0) & (counts < size))
        if len(short):  # for these, words beyond the text's end do not count
            grams[offsets[short]] = self._short(short, counts[short], size, padded)
        return mixed(grams), offsets

    def _short(self, texts: Ints, counts: Ints, size: int, padded: Hashes) -> Hashes:
        begin = self.offsets[texts]
        sums = np.zeros(len(texts), np.uint64)
        for place in range(size):
            sums *= _BASE
            sums += np.where(place < counts, padded[begin + place], np.uint64(0))
        return sums


def word_blocks(column: pa.Array) -> Iterator[Block]:
    """The column's texts as hashed words."""
    spaced = segmented(column)
    if spaced is column:
        yield from _blocks(column)
        return
    others = _hash_sums(numerals(column))
    for block in _blocks(spaced):
        here = others[block.start : block.start + len(block)]
        yield replace(block, numbers=block.numbers + here)


def _hash_sums(column: pa.Array) -> Hashes:
    """[texts] the sum of its words' hashes."""
    sums = [np.zeros(0, np.uint64)]
    for block in _blocks(column):
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(block.words, dtype=np.uint64)])
        sums.append(np.diff(total[block.offsets]))
    return np.concatenate(sums)


def _blocks(column: pa.Array) -> Iterator[Block]:
    """Blocks of texts whose words are separated by spaces and `APART`."""
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
    folded = np.zeros(len(data) + 16 - len(data) % 8, np.uint8)  # reads go past the end
    folded[: len(data)] = np.frombuffer(data.tobytes().translate(_FOLDED), np.uint8)
    eights = folded.view("<u8")
    begin, end = _runs(folded[: len(data)] != 0, offsets)
    words = _hashed(eights, begin, end)
    first, last = _runs((data - ord("0")).view(np.uint8) < 10, offsets)
    digits = _hashed(eights, first, last)
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(digits, dtype=np.uint64)])
    numbers = np.diff(total[np.searchsorted(first, offsets)])
    return Block(start, words, np.searchsorted(begin, offsets).astype(np.int64), numbers)


def _hashed(eights: Hashes, begin: Ints, end: Ints) -> Hashes:
    """[runs] hashes of runs of at least one byte; the bytes are given as aligned groups of eight."""
    size = end - begin
    hashes = _eight(eights, begin, size)
    hashes *= _BASE
    hashes = mixed(hashes)
    longer = np.flatnonzero(size > 8)
    begin, size = begin[longer], size[longer]
    while len(longer):
        begin, size = begin + 8, size - 8
        hashes[longer] = mixed((hashes[longer] ^ _eight(eights, begin, size)) * _BASE)
        more = size > 8
        longer, begin, size = longer[more], begin[more], size[more]
    return hashes


def _eight(eights: Hashes, begin: Ints, size: Ints) -> Hashes:
    """The next eight bytes of each run, or as many as it has left."""
    group = begin >> 3
    shift = ((begin & 7) << 3).view(np.uint64)
    low = eights.take(group) >> shift
    high = eights.take(group + 1) << (np.uint64(63) - shift) << np.uint64(1)
    return (low | high) & _FIRST_BYTES.take(size, mode="clip")


def _runs(inside: np.ndarray[Any, np.dtype[np.bool_]], offsets: Ints) -> tuple[Ints, Ints]:
    """Where runs of True begin and end; no run crosses the end of a text."""
    joined = inside[1:] & inside[:-1]
    inner = offsets[1:-1]
    joined[inner[(inner > 0) & (inner < len(inside))] - 1] = False
    starts, ends = inside.copy(), inside.copy()
    starts[1:] &= ~joined
    ends[:-1] &= ~joined
    return np.flatnonzero(starts), np.flatnonzero(ends) + 1
