"""From sketches to clusters: candidate pairs, those similar enough, connected components."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlt.cores import processes
from vlt.filters.duplicates.hashing import Hashes, mixed
from vlt.filters.duplicates.minhash import SHORT, Sketches
from vlt.filters.text import Ints
from vlt.threads import map_in_order
from vlt.workspace.row_group import Mask

PAIRS_AT_ONCE = 5_000
MARGIN = 0.05
Floats = np.ndarray[Any, np.dtype[np.float64]]


def near_clusters(
    sketches: Sketches,
    threshold: float,
    *,
    apart: Hashes | None = None,
    numbers: bool = True,
) -> Ints:
    """[n] for each text, the index of the first text of its cluster.

    Args:
        threshold: Minimum Jaccard similarity of duplicates; clusters are their connected components.
        apart: [n] keys of what else must be equal (the images).
        numbers: Whether the digits of the texts must agree.
    """
    keys = np.zeros(len(sketches), np.uint64) if apart is None else mixed(apart)
    if numbers:
        keys = mixed(keys + sketches.numbers)
    first, second = candidates(sketches.bands, keys)
    near = alike(sketches, first, second, threshold)
    return components(first[near], second[near], len(sketches))


def candidates(bands: np.ndarray[Any, np.dtype[np.uint32]], keys: Hashes) -> tuple[Ints, Ints]:
    """Pairs (first < second) of rows with the same key that share a band: each row of a bucket with
    the bucket's first row, and with the row before it."""
    low = np.uint64(0xFFFFFFFF)

    def of_band(band: np.ndarray[Any, np.dtype[np.uint32]]) -> Hashes:
        # Half of each 64-bit word is the bucket, half the row. Arrays of all rows are reused: with a hundred
        # million rows, each takes 0.8 GB.
        order = mixed(band + keys)
        order &= ~low
        order |= np.arange(len(band), dtype=np.uint64)
        order.sort()
        same = np.flatnonzero((order[1:] ^ order[:-1]) <= low) + 1
        if not len(same):
            return np.zeros(0, np.uint64)
        starts = np.diff(same, prepend=-1) != 1
        head = np.maximum.accumulate(np.where(starts, same - 1, 0))
        head, before, row = (order[place] & low for place in (head, same - 1, same))
        return np.unique(
            np.concatenate([(head << np.uint64(32)) | row, (before << np.uint64(32)) | row])
        )

    every = np.zeros(0, np.uint64)
    # Long sorts and sums, during which numpy releases the GIL.
    for found in map_in_order(of_band, bands.T, processes(), ahead=processes()):
        every = np.union1d(every, found)
    first, second = (every >> np.uint64(32)).astype(np.int64), (every & low).astype(np.int64)
    agree = keys[first] == keys[second]
    return first[agree], second[agree]


def alike(sketches: Sketches, first: Ints, second: Ints, threshold: float) -> Mask:
    """[pairs] Whether the Jaccard similarity of the texts' grams reaches the threshold.

    Exact if both are short, else an estimate with a standard error of 0.035: then the threshold is lowered
    by MARGIN, so that pairs right at it are found.
    """
    out = np.zeros(len(first), bool)
    exact = np.maximum(sketches.counts[first], sketches.counts[second]) <= SHORT
    exact &= np.minimum(sketches.counts[first], sketches.counts[second]) > 0
    for how, which, least in (
        (_exact, np.flatnonzero(exact), threshold),
        (_estimated, np.flatnonzero(~exact), threshold - MARGIN),
    ):
        for start in range(0, len(which), PAIRS_AT_ONCE):
            here = which[start : start + PAIRS_AT_ONCE]
            out[here] = how(sketches, first[here], second[here]) >= least
    return out


def _estimated(sketches: Sketches, first: Ints, second: Ints) -> Floats:
    """The share of bins that agree, corrected for chance (one in 256 of those that differ).

    A text without words is similar to nothing.
    """
    share = (sketches.bins[first] == sketches.bins[second]).mean(axis=1)
    share = (256 * share - 1) / 255
    some = np.minimum(sketches.counts[first], sketches.counts[second]) > 0
    return np.where(some, share, 0.0)


def _exact(sketches: Sketches, first: Ints, second: Ints) -> Floats:
    pairs = len(first)
    keys = []
    for rows in (first, second):
        size = sketches.offsets[rows + 1] - sketches.offsets[rows]
        pair = np.repeat(np.arange(pairs), size)
        place = np.arange(len(pair)) + np.repeat(
            sketches.offsets[rows] - (np.cumsum(size) - size), size
        )
        grams = sketches.grams[place].astype(np.uint64)
        keys.append(np.unique((pair.astype(np.uint64) << np.uint64(32)) | grams))
    every = np.sort(np.concatenate(keys))
    twice = every[1:] == every[:-1]
    pair = (every >> np.uint64(32)).astype(np.int64)
    both = np.bincount(pair[1:][twice], minlength=pairs)
    total = np.bincount(pair, minlength=pairs) - both
    share: Floats = both / np.maximum(total, 1)
    return share


def components(first: Ints, second: Ints, rows: int) -> Ints:
    """[rows] the lowest row of each row's connected component."""
    label = np.arange(rows)
    while len(first):
        low = np.minimum(label[first], label[second])
        np.minimum.at(label, label[first], low)
        np.minimum.at(label, label[second], low)
        while True:  # follow the labels to their roots
            further = label[label]
            if (further == label).all():
                break
            label = further
        apart = label[first] != label[second]
        first, second = first[apart], second[apart]
    return label
