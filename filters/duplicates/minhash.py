"""Near-duplicate texts: MinHash finds candidates, a sketch of the n-grams decides.

For each text, over the hashes of its word 5-grams:

* *bands*: a MinHash of one permutation (Li, Owen, Zhang 2012: the hashes thrown into bins, the
  smallest of each bin), empty bins filled from the next one that is not (Shrivastava, Li 2014).
  21 bands of 6 bins: texts of Jaccard 0.8 meet in one of them with probability 0.998.
* *decision*: of two texts of at most 128 grams the Jaccard itself, from the grams; of longer ones
  the share of the 126 bins that agree (standard error 0.035 at 0.8). Templates make distinct
  questions look alike where texts are short, and there nothing is estimated.

Two guards against templates ("How many apples does Tom have?"): grams that stand in very many
texts say nothing and are left out, and texts whose digits differ are never duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from vlt.filters.duplicates.hashing import Block, Hashes, mixed, word_blocks
from vlt.filters.text import Ints

WORDS = 5
BANDS, WIDTH = 21, 6
BINS = 128
SHORT = 128
"""Grams of a text whose grams are kept."""
COMMON_TEXTS, COMMON_SHARE = 20, 0.002
"""A gram is common where it stands in more of the sampled texts than either of these."""
SAMPLED = 10_000
"""Texts that are looked at to find the common grams."""

_TABLE = 1 << 20
_EMPTY = np.uint64(2**64 - 1)
Common = np.ndarray[Any, np.dtype[np.bool_]]
"""[2^20] by the low bits of a gram: whether it is common."""


@dataclass(frozen=True)
class Sketches:
    """What is remembered of n texts: 0.23 KB each, and for short ones their grams."""

    bands: np.ndarray[Any, np.dtype[np.uint32]]
    """[n, 21]"""
    bins: np.ndarray[Any, np.dtype[np.uint8]]
    """[n, 126] of each bin's smallest hash eight bits"""
    grams: np.ndarray[Any, np.dtype[np.uint32]]
    """[all] the grams of the short texts; one may stand in its text more than once."""
    offsets: Ints
    """[n + 1] into `grams`; a long text has none there."""
    counts: np.ndarray[Any, np.dtype[np.int32]]
    """[n] its grams."""
    numbers: Hashes
    """[n] of the digits in it."""

    def __len__(self) -> int:
        return len(self.counts)


def common_grams(columns: Iterable[pa.Array], size: int = WORDS) -> Common:
    """The grams of `size` words that too many of these texts (a sample will do) have in common."""
    counts, last, texts = np.zeros(_TABLE, np.int32), np.empty(_TABLE >> 2, np.int32), 0
    for column in columns:
        for block in word_blocks(column):
            grams, offsets = block.grams(size)
            row = np.repeat(np.arange(len(block), dtype=np.uint64), np.diff(offsets))
            # Once for each text: of those that fall on one place of a table, the last one stays.
            place = (mixed(grams + row) & np.uint64(len(last) - 1)).view(np.int64)
            number = np.arange(len(grams), dtype=np.int32)
            last[place] = number
            once = grams[last[place] == number]
            np.add.at(counts, (once & np.uint64(_TABLE - 1)).view(np.int64), 1)
            texts += len(block)
    return counts > max(COMMON_TEXTS, COMMON_SHARE * texts)


def is_common(common: Common, grams: Hashes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """[grams] Whether each is."""
    return common.take((grams & np.uint64(_TABLE - 1)).view(np.int64))


def sketched(column: pa.Array, common: Common) -> Sketches:
    """The sketches of a column of texts."""
    parts = [_sketch(block, common) for block in word_blocks(column)]
    return concatenated(parts)


def concatenated(parts: Sequence[Sketches]) -> Sketches:
    """The sketches of one column after another."""
    if not parts:
        nothing = word_blocks(pa.array([""]))
        none = _sketch(next(nothing), np.zeros(_TABLE, bool))
        return Sketches(
            none.bands[:0],
            none.bins[:0],
            none.grams,
            none.offsets[:1],
            none.counts[:0],
            none.numbers[:0],
        )
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    return Sketches(
        np.concatenate([part.bands for part in parts]),
        np.concatenate([part.bins for part in parts]),
        np.concatenate([part.grams for part in parts]),
        np.concatenate([[0], np.cumsum(sizes)]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.numbers for part in parts]),
    )


def _sketch(block: Block, common: Common) -> Sketches:
    grams, offsets = block.grams(WORDS)
    counts = np.diff(offsets)
    text = np.repeat(np.arange(len(block)), counts)
    known = is_common(common, grams)
    if known.any():
        telling = np.bincount(text[~known], minlength=len(block))
        # Nothing but template: only the very same words are a duplicate.
        silent = np.flatnonzero((telling == 0) & (counts > 0))
        grams[offsets[silent]] = [_whole(block, row) for row in silent.tolist()]
        known[offsets[silent]] = False
        grams, text = grams[~known], text[~known]
        counts = np.bincount(text, minlength=len(block))
    bands, bins = _minhash(grams, text, len(block))
    short = counts <= SHORT
    kept = grams if short.all() else grams[np.repeat(short, counts)]
    ends = np.concatenate([[0], np.cumsum(np.where(short, counts, 0))])
    high = (kept >> np.uint64(32)).astype(np.uint32)
    return Sketches(bands, bins, high, ends, counts.astype(np.int32), block.numbers)


def _whole(block: Block, row: int) -> np.uint64:
    words = block.words[block.offsets[row] : block.offsets[row + 1]]
    place = np.arange(1, len(words) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.uint64(mixed(words ^ place).sum(dtype=np.uint64))


def _minhash(
    grams: Hashes, text: Ints, texts: int
) -> tuple[np.ndarray[Any, np.dtype[np.uint32]], np.ndarray[Any, np.dtype[np.uint8]]]:
    """(bands [texts, 21], bins [texts, 126])"""
    flat = np.full(texts * BINS, _EMPTY)
    np.minimum.at(flat, text * BINS + (grams >> np.uint64(57)).view(np.int64), grams)
    least = _filled(flat.reshape(texts, BINS))
    least = mixed(least[:, : BANDS * WIDTH])  # in a bin the smallest all begin with the same bits
    keys = np.zeros((texts, BANDS), np.uint64)
    for place in range(WIDTH):
        keys = mixed(keys * np.uint64(0x9E3779B97F4A7C15) + least[:, place::WIDTH])
    bins = (least >> np.uint64(56)).astype(np.uint8)
    return (keys >> np.uint64(32)).astype(np.uint32), bins


def _filled(least: Hashes) -> Hashes:
    """Empty bins take the next full one's value, marked by how far it was; [texts, BINS]."""
    flat = least.ravel()
    empty = flat == _EMPTY
    at, full = np.flatnonzero(empty), np.flatnonzero(~empty)
    if not len(at) or not len(full):
        return least
    row = at // BINS
    following = full.take(np.searchsorted(full, at), mode="clip")
    around = (following // BINS != row) | (following < at)
    # Behind the last full one comes the text's first.
    following[around] = full.take(np.searchsorted(full, row[around] * BINS), mode="clip")
    some = following // BINS == row  # not where a text has no grams at all
    at, following = at[some], following[some]
    distance = ((following - at) % BINS).astype(np.uint64)
    flat[at] = flat[following] + distance * np.uint64(0xC2B2AE3D27D4EB4F)
    return least
