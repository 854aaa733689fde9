"""Images that look the same: rescaled, encoded again, or both.

A perceptual hash finds candidates; the pictures decide. Charts drawn by one program have nearly the
same hash and differ in a bar, so two candidates are brought to one size (at most 256 pixels) and
compared place by place: brightness over 3 x 3 pixels, colour over 5 x 5.

The limits were chosen on one family of drawn pictures (benchmarks/pictures.py, `tuned`): copies
scaled by 0.5 to 2 and JPEG down to quality 40 differ by at most 38 and 13 of 255 and in 12 bits of
the hash, pictures with one thing changed by 94 or more. `make bench-filters` reports the other
family. A copy cropped by 2 % is another picture: shifted by so much, drawings do not agree.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from filters.clusters import Mask, components
from filters.text import Ints
from vlt.images import ImageStore

BITS = 12
"""Most bits in which the hashes of two candidates differ."""
BRIGHTNESS, COLOUR = 55.0, 30.0
"""Least differences of two pictures that are not the same, of 255."""
COARSE = 32
COARSE_DIFFERENCE = 64
FINE = 256
SHAPE = 0.03
"""Most by which width over height may differ."""
ALL_PAIRS = 20_000
"""Up to so many hashes each is compared with each."""

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Pixels = np.ndarray[Any, np.dtype[np.float32]]


def same_pictures(images: ImageStore, names: Sequence[str]) -> dict[str, str]:
    """sha256 -> sha256 of the first of `names` that shows the same; itself where none does."""
    names = list(dict.fromkeys(names))
    first, second = alike(images, names, near_pairs(hashes_of(images, names)))
    label = components(first, second, len(names))
    return {name: names[place] for name, place in zip(names, label.tolist(), strict=True)}


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

    Complete up to ALL_PAIRS hashes; beyond, pairs that differ in up to 6 bits are found for sure,
    and those of more where two of eight bytes agree.
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
    images: ImageStore,
    names: Sequence[str],
    pairs: tuple[Ints, Ints],
    others: Sequence[str] | None = None,
) -> tuple[Ints, Ints]:
    """Of the candidate pairs (numbers in `names`, and in `others` if given) those that show the same."""
    first, second = pairs
    others = names if others is None else others
    wanted = sorted({names[i] for i in first} | {others[i] for i in second})
    number = {name: place for place, name in enumerate(wanted)}
    a = np.array([number[names[i]] for i in first.tolist()], np.int64)
    b = np.array([number[others[i]] for i in second.tolist()], np.int64)
    keep = _coarsely(images, wanted, a, b)
    read = lru_cache(maxsize=64)(lambda place: _decoded(images.read(wanted[place])))
    for place in np.flatnonzero(keep).tolist():
        one, other = int(a[place]), int(b[place])
        keep[place] = one == other or _same(read(one), read(other))
    return first[keep], second[keep]


def _coarsely(images: ImageStore, names: Sequence[str], first: Ints, second: Ints) -> Mask:
    """[pairs] Whether shape and 32 x 32 pixels are about the same."""

    def small(name: str) -> np.ndarray[Any, np.dtype[np.int16]]:
        picture = _decoded(images.read(name)).resize((COARSE, COARSE), Image.Resampling.BOX)
        return np.asarray(picture, np.int16).ravel()

    if not names:
        return np.zeros(0, bool)
    with ThreadPoolExecutor() as pool:
        pixels = np.stack(list(pool.map(small, names)))
    infos = [images.info(name) for name in names]
    shapes = np.array([info.width / info.height for info in infos])
    keep: Mask = np.abs(shapes[first] - shapes[second]) <= SHAPE * shapes[first]
    for start in range(0, len(first), 2_000):
        here = slice(start, start + 2_000)
        apart = np.abs(pixels[first[here]] - pixels[second[here]]).max(axis=1)
        keep[here] &= apart <= COARSE_DIFFERENCE
    return keep


def _decoded(data: bytes) -> Image.Image:
    """In RGB, on white paper; a big JPEG is read at a fraction of its size."""
    opened = Image.open(io.BytesIO(data))
    opened.draft("RGB", (2 * FINE, 2 * FINE))
    image: Image.Image = opened
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _same(one: Image.Image, other: Image.Image) -> bool:
    bright, colour = apart(one, other)
    return bright < BRIGHTNESS and colour < COLOUR


def apart(one: Image.Image, other: Image.Image) -> tuple[float, float]:
    """Greatest difference in brightness and in colour, of 255, at the smaller one's size."""
    width, height = min(one.width, other.width), min(one.height, other.height)
    scale = min(1.0, FINE / max(width, height))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    differ = _pixels(one, size) - _pixels(other, size)
    bright, colour = _blurred(differ[:, :, :1], 3), _blurred(differ[:, :, 1:], 5)
    return float(bright.max()), float(colour.max())


def apart_stored(images: ImageStore, one: str, other: str) -> tuple[float, float]:
    """`apart` of two images of the store, by sha256."""
    return apart(_decoded(images.read(one)), _decoded(images.read(other)))


def _pixels(image: Image.Image, size: tuple[int, int]) -> Pixels:
    # Hamming's window: sharper than a box, and without the ringing of Lanczos's.
    scaled = image.resize(size, Image.Resampling.HAMMING).convert("YCbCr")
    return np.asarray(scaled, np.float32)


def _blurred(values: Pixels, size: int) -> Pixels:
    """The size of the mean over size x size pixels, around each pixel; nothing lies beyond the rim."""
    rim = size // 2
    sums = np.pad(values, ((rim + 1, rim), (rim + 1, rim), (0, 0))).cumsum(0).cumsum(1)
    means = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    out: Pixels = np.abs(means) / (size * size)
    return out
