"""Near-duplicate texts: MinHash finds candidates, a sketch of the n-grams decides.

For each text, over the hashes of its word 5-grams:

* *bands*: one-permutation MinHash (Li, Owen, Zhang 2012: the hashes are distributed over bins, the
  minimum of each is kept), empty bins filled from the next non-empty one (Shrivastava, Li 2014).
  21 bands of 6 bins: texts of Jaccard 0.8 share at least one with probability 0.998.
* *decision*: for two texts of at most 128 grams the exact Jaccard, from the grams; for longer ones
  the share of the 126 bins that agree (standard error 0.035 at 0.8). Templates make short but distinct
  questions look alike, so for short texts nothing is estimated.

Two guards against templates ("How many apples does Tom have?"): grams that occur in very many
texts are not informative and are left out, and texts whose digits differ are never duplicates.
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
"""Maximum grams of a text whose grams are kept."""
COMMON_TEXTS, COMMON_SHARE = 20, 0.002
"""A gram is common if it occurs in more of the sampled texts than this number and this share of them."""
SAMPLED = 10_000
"""Texts that are sampled to find the common grams."""

_TABLE = 1 << 20
_EMPTY = np.uint64(2**64 - 1)
Common = np.ndarray[Any, np.dtype[np.bool_]]
"""[2^20] whether a gram is common, indexed by its low bits."""


@dataclass(frozen=True)
class Sketches:
    """What is kept of n texts: 0.23 KB each, and for short ones their grams."""

    bands: np.ndarray[Any, np.dtype[np.uint32]]
    """[n, 21]"""
    bins: np.ndarray[Any, np.dtype[np.uint8]]
    """[n, 126] eight bits of each bin's smallest hash."""
    grams: np.ndarray[Any, np.dtype[np.uint32]]
    """[all] the grams of the short texts; a gram may occur in its text more than once."""
    offsets: Ints
    """[n + 1] into `grams`; a long text has none there."""
    counts: np.ndarray[Any, np.dtype[np.int32]]
    """[n] number of grams."""
    numbers: Hashes
    """[n] hash of the digits in the text."""

    def __len__(self) -> int:
        return len(self.counts)


def common_grams(columns: Iterable[pa.Array], size: int = WORDS) -> Common:
    """The grams of `size` words that occur in too many of these texts (a sample is enough)."""
    counts, last, texts = np.zeros(_TABLE, np.int32), np.empty(_TABLE >> 2, np.int32), 0
    for column in columns:
        for block in word_blocks(column):
            grams, offsets = block.grams(size)
            row = np.repeat(np.arange(len(block), dtype=np.uint64), np.diff(offsets))
            # Count a gram once per text: of those that fall on one slot of the table, the last one counts.
            place = (mixed(grams + row) & np.uint64(len(last) - 1)).view(np.int64)
            number = np.arange(len(grams), dtype=np.int32)
            last[place] = number
            once = grams[last[place] == number]
            np.add.at(counts, (once & np.uint64(_TABLE - 1)).view(np.int64), 1)
            texts += len(block)
    return counts > max(COMMON_TEXTS, COMMON_SHARE * texts)


def is_common(common: Common, grams: Hashes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """[grams] whether each is common."""
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
        # Nothing but template: only exactly the same words are a duplicate.
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
    least = mixed(least[:, : BANDS * WIDTH])  # the hashes in a bin all start with the same bits
    keys = np.zeros((texts, BANDS), np.uint64)
    for place in range(WIDTH):
        keys = mixed(keys * np.uint64(0x9E3779B97F4A7C15) + least[:, place::WIDTH])
    bins = (least >> np.uint64(56)).astype(np.uint8)
    return (keys >> np.uint64(32)).astype(np.uint32), bins


def _filled(least: Hashes) -> Hashes:
    """Fill empty bins from the next full one, changed by the distance to it; [texts, BINS]."""
    flat = least.ravel()
    empty = flat == _EMPTY
    at, full = np.flatnonzero(empty), np.flatnonzero(~empty)
    if not len(at) or not len(full):
        return least
    row = at // BINS
    following = full.take(np.searchsorted(full, at), mode="clip")
    around = (following // BINS != row) | (following < at)
    # After the text's last full bin, wrap around to its first.
    following[around] = full.take(np.searchsorted(full, row[around] * BINS), mode="clip")
    some = following // BINS == row  # excludes texts without any grams
    at, following = at[some], following[some]
    distance = ((following - at) % BINS).astype(np.uint64)
    flat[at] = flat[following] + distance * np.uint64(0xC2B2AE3D27D4EB4F)
    return least
