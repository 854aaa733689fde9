"""Images that look the same: rescaled, re-encoded, or both.

A perceptual hash finds candidates; the pixels decide. Charts drawn by one program have nearly the
same hash and may differ in one bar, so two candidates are scaled to one size (at most 512 pixels) and
compared position by position: brightness over 3 x 3 pixels, colour over 5 x 5.

The limits were chosen on one family of drawn pictures (benchmarks/pictures.py, `tuned`): copies
scaled by 0.5 to 2 and JPEGs down to quality 40 differ by at most 30 (brightness) and 24 (colour) of 255 and
in 12 bits of the hash, pictures with one thing changed by 108 or more, charts with a bar 2 pixels higher by
72. `make bench-filters` reports the other family. A copy cropped by 2 % counts as another picture: shifted
that far, drawings do not match.

A small copy loses the details that distinguish its picture from similar ones, and may match several; so
clusters are merged starting with the most similar pair, and two clusters that contain clearly different
pictures (PLAIN) are never merged.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from vlt.cores import processes
from vlt.filters.duplicates.clusters import Floats
from vlt.filters.text import Ints
from vlt.images.decode import on_white
from vlt.images.store import ImageStore
from vlt.threads import map_in_order
from vlt.workspace.row_group import Mask

BITS = 12
"""Maximum bits in which the hashes of two candidates differ."""
BRIGHTNESS, COLOUR = 45.0, 40.0
"""Minimum differences between two pictures that are not the same, of 255."""
PLAIN = 1.5
"""Pictures that differ by this many times the limits cannot be copies of one picture."""
COARSE = 32
COARSE_DIFFERENCE = 64
FINE = 512
SHAPE = 0.03
"""Maximum relative difference in aspect ratio."""
ALL_PAIRS = 20_000
"""Up to this many hashes, all pairs are compared."""

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Pixels = np.ndarray[Any, np.dtype[np.int16]]


def same_pictures(images: ImageStore, names: Sequence[str]) -> dict[str, str]:
    """sha256 -> sha256 of the first of `names` that shows the same picture, which may be itself."""
    names = list(dict.fromkeys(names))
    first, second = near_pairs(hashes_of(images, names))
    label = clusters(first, second, differences(images, names, (first, second)), len(names))
    return {name: names[place] for name, place in zip(names, label, strict=True)}


def clusters(first: Ints, second: Ints, apart: Floats, count: int) -> list[int]:
    """[count] the first picture of each one's cluster; pairs with `apart` of 1 or more are not the same."""
    label = list(range(count))
    members = {place: [place] for place in range(count)}
    foes: dict[int, list[int]] = {}
    for place in np.flatnonzero((apart >= PLAIN) & np.isfinite(apart)).tolist():
        one, other = int(first[place]), int(second[place])
        foes.setdefault(one, []).append(other)
        foes.setdefault(other, []).append(one)
    same = np.flatnonzero(apart < 1)
    for place in same[np.argsort(apart[same], kind="stable")].tolist():
        low, high = sorted((label[int(first[place])], label[int(second[place])]))
        fewer, more = sorted((low, high), key=lambda cluster: len(members[cluster]))
        if low == high or any(
            label[foe] == more for m in members[fewer] for foe in foes.get(m, ())
        ):
            continue
        for member in members[high]:
            label[member] = low
        members[low] += members.pop(high)
    return label


def hashes_of(images: ImageStore, names: Sequence[str]) -> Hashes:
    """[n] perceptual hashes, read in bulk from the packs; raises UserError for an unknown image."""
    found: dict[str, int] = {}
    wanted = set(names)
    for pack in images.packs:
        table = pq.read_table(pack, columns=["sha256", "phash"])
        pairs = zip(table["sha256"].to_pylist(), table["phash"].to_pylist(), strict=True)
        found.update((name, phash) for name, phash in pairs if name in wanted)
    return np.array(
        [found[name] if name in found else images.info(name).phash for name in names], np.uint64
    )


def near_pairs(hashes: Hashes, against: Hashes | None = None) -> tuple[Ints, Ints]:
    """Pairs of hashes that differ in at most BITS bits: (first < second), or (ours, against's).

    Complete up to ALL_PAIRS hashes; beyond that, pairs that differ in up to 6 bits are always found,
    and others if two of their eight bytes agree.
    """
    if not len(hashes):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if against is not None:
        return _compared(hashes, against, upper=False)
    if len(hashes) <= ALL_PAIRS:
        return _compared(hashes, hashes, upper=True)
    return _by_bytes(hashes)


def _compared(ours: Hashes, others: Hashes, *, upper: bool) -> tuple[Ints, Ints]:
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(ours), 256):
        bits = np.bitwise_count(ours[start : start + 256, None] ^ others[None, :])
        row, column = np.nonzero(bits <= BITS)
        row = row + start
        wanted = column > row if upper else np.ones(len(row), bool)
        first.append(row[wanted])
        second.append(column[wanted])
    return np.concatenate(first), np.concatenate(second)


def _by_bytes(hashes: Hashes) -> tuple[Ints, Ints]:
    low = np.uint64(0xFFFFFFFF)
    rows = np.arange(len(hashes), dtype=np.uint64)
    pairs = [np.zeros(0, np.uint64)]
    eight = hashes.view(np.uint8).reshape(-1, 8).astype(np.uint64)
    for one, other in combinations(range(8), 2):
        order = np.sort(
            (((eight[:, one] << np.uint64(8)) | eight[:, other]) << np.uint64(32)) | rows
        )
        key, row = order >> np.uint64(32), (order & low).astype(np.int64)
        for shift in range(1, len(order)):
            same = np.flatnonzero(key[shift:] == key[:-shift])
            if not len(same):
                break
            a, b = row[same], row[same + shift]
            near = np.bitwise_count(hashes[a] ^ hashes[b]) <= BITS
            a, b = np.minimum(a, b)[near], np.maximum(a, b)[near]
            pairs.append((a.astype(np.uint64) << np.uint64(32)) | b.astype(np.uint64))
    every = np.unique(np.concatenate(pairs))
    return (every >> np.uint64(32)).astype(np.int64), (every & low).astype(np.int64)


def alike(
    images: ImageStore, names: Sequence[str], pairs: tuple[Ints, Ints], others: Sequence[str]
) -> tuple[Ints, Ints]:
    """Those of the candidate pairs (indices into `names` and `others`) that show the same picture."""
    same = differences(images, names, pairs, others) < 1
    return pairs[0][same], pairs[1][same]


def differences(
    images: ImageStore,
    names: Sequence[str],
    pairs: tuple[Ints, Ints],
    others: Sequence[str] | None = None,
) -> Floats:
    """[pairs] the distance between two pictures, in units of the limits: below 1 they show the same.

    The second of a pair is an index into `others`, if given. Infinite if a coarse comparison ruled it out.
    """
    first, second = pairs
    others = names if others is None else others
    wanted = sorted({names[i] for i in first} | {others[i] for i in second})
    number = {name: place for place, name in enumerate(wanted)}
    a = np.array([number[names[i]] for i in first.tolist()], np.int64)
    b = np.array([number[others[i]] for i in second.tolist()], np.int64)
    found = np.full(len(a), np.inf)
    read = lru_cache(maxsize=64)(lambda place: _decoded(images.read(wanted[place])))
    for place in np.flatnonzero(_coarsely(images, wanted, a, b)).tolist():
        one, other = int(a[place]), int(b[place])
        bright, colour = (0.0, 0.0) if one == other else apart(read(one), read(other))
        found[place] = max(bright / BRIGHTNESS, colour / COLOUR)
    return found


def _coarsely(images: ImageStore, names: Sequence[str], first: Ints, second: Ints) -> Mask:
    """[pairs] whether aspect ratio and 32 x 32 pixels are about the same."""

    def small(name: str) -> Pixels:
        picture = _decoded(images.read(name)).resize((COARSE, COARSE), Image.Resampling.BOX)
        return np.asarray(picture, np.int16).ravel()

    if not names:
        return np.zeros(0, bool)
    pixels = np.stack(list(map_in_order(small, names, processes())))
    infos = [images.info(name) for name in names]
    shapes = np.array([info.width / info.height for info in infos])
    keep: Mask = np.abs(shapes[first] - shapes[second]) <= SHAPE * shapes[first]
    for start in range(0, len(first), 2_000):
        here = slice(start, start + 2_000)
        apart = np.abs(pixels[first[here]] - pixels[second[here]]).max(axis=1)
        keep[here] &= apart <= COARSE_DIFFERENCE
    return keep


def _decoded(data: bytes) -> Image.Image:
    """In RGB, on white; a large JPEG is decoded at a reduced size."""
    opened = Image.open(io.BytesIO(data))
    opened.draft("RGB", (2 * FINE, 2 * FINE))
    return on_white(opened)


def apart(one: Image.Image, other: Image.Image) -> tuple[float, float]:
    """Maximum difference in brightness and in colour, of 255, at the smaller picture's size."""
    width, height = min(one.width, other.width), min(one.height, other.height)
    scale = min(1.0, FINE / max(width, height))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    differ = _pixels(one, size) - _pixels(other, size)
    return _greatest_mean(differ[:, :, :1], 3), _greatest_mean(differ[:, :, 1:], 5)


def apart_stored(images: ImageStore, one: str, other: str) -> tuple[float, float]:
    """`apart` of two images of the store, by sha256."""
    return apart(_decoded(images.read(one)), _decoded(images.read(other)))


def _pixels(image: Image.Image, size: tuple[int, int]) -> Pixels:
    # Hamming: sharper than a box filter, and without the ringing of Lanczos.
    scaled = image.resize(size, Image.Resampling.HAMMING).convert("YCbCr")
    return np.asarray(scaled, np.int16)


def _greatest_mean(values: Pixels, size: int) -> float:
    """The largest absolute mean over size x size pixels; zeros beyond the border."""
    height, width, _ = values.shape
    rim = size // 2
    padded = np.pad(values, ((rim, rim), (rim, rim), (0, 0)))
    rows = padded[:height].copy()
    for below in range(1, size):
        rows += padded[below : below + height]
    sums = rows[:, :width].copy()
    for right in range(1, size):
        sums += rows[:, right : right + width]
    return float(max(sums.max(), -sums.min())) / (size * size)
