"""Images that are copies of each other, and charts that only look alike."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.pictures import FAMILIES, encoded, scaled
from benchmarks.pictures import copies as picture_copies
from tests.rows import dataset, item
from vlt.filters.apply import make_filtered
from vlt.filters.duplicates.near_images import (
    ALL_PAIRS,
    BITS,
    BRIGHTNESS,
    COLOUR,
    apart_stored,
    near_pairs,
    same_pictures,
)
from vlt.images.store import ImageStore
from vlt.workspace.store import Store

COLOURS = ("#4878a8", "#e08030", "#50a050", "#c04040", "#8060b0", "#a07050")


def chart(values: list[int], size: tuple[int, int] = (400, 300), shift: int = 0) -> Image.Image:
    """A bar chart; values from 0 to 100."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    width, height, rim = *size, size[0] // 10
    step, high = (width - 2 * rim) / len(values), (height - 2 * rim) / 100
    draw.line([(rim, rim), (rim, height - rim), (width - rim, height - rim)], "black", 2)
    for i, value in enumerate(values):
        x = rim + i * step
        box = [x + step * 0.15, height - rim - value * high, x + step * 0.85, height - rim]
        draw.rectangle(box, COLOURS[(i + shift) % len(COLOURS)])
        draw.text((x + step * 0.3, height - rim + 6), chr(65 + i), "black")
    return image


def copies(image: Image.Image) -> list[bytes]:
    """Typical copies of an image."""
    return [data for _, data in picture_copies(image)]


def drawn(count: int, seed: int = 0) -> list[list[int]]:
    """Values of charts, every other one with one bar changed by 4 or more."""
    rng, out = random.Random(seed), []
    for number in range(count):
        if number % 2 and out:
            values = list(out[-1])
            place = rng.randrange(len(values))
            values[place] = (values[place] + rng.randint(4, 60)) % 95
        else:
            values = [rng.randint(5, 94) for _ in range(rng.randint(3, 7))]
        out.append(values)
    return out


def test_copies_are_found_and_charts_of_another_bar_are_not(tmp_path: Path) -> None:
    charts = drawn(60)
    with ImageStore(tmp_path) as images:
        originals = [images.add(encoded(chart(values))) for values in charts]
        given = {
            name: [images.add(data) for data in copies(chart(v))]
            for name, v in zip(originals, charts, strict=True)
        }
        images.flush()
        names = [*originals, *(copy for each in given.values() for copy in each)]
        same = same_pictures(images, names)
    assert all(same[name] == name for name in originals)
    found = [same[copy] == name for name, each in given.items() for copy in each]
    assert np.mean(found) >= 0.98
    falsely = [same[copy] not in (name, copy) for name, each in given.items() for copy in each]
    assert not any(falsely)


@pytest.mark.parametrize("kind", sorted(FAMILIES["held_out"]))
def test_pictures_that_no_limit_was_chosen_on(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(7)
    pairs = [FAMILIES["held_out"][kind](rng) for _ in range(6)]
    with ImageStore(tmp_path) as images:
        names = [images.add(encoded(picture)) for pair in pairs for picture in pair]
        given = [
            (images.add(data), name)
            for name, (one, _) in zip(names[::2], pairs, strict=True)
            for _, data in picture_copies(one)
        ]
        images.flush()
        same = same_pictures(images, [*names, *(copy for copy, _ in given)])
        margin = [
            apart_stored(images, *pair)[0] for pair in zip(names[::2], names[1::2], strict=True)
        ]
    assert np.mean([same[copy] == name for copy, name in given]) >= 0.98
    if kind != "photo":  # where a soft light more or less may pass for the same photograph
        assert all(same[name] == name for name in names)
        assert min(margin) > 1.5 * BRIGHTNESS


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_a_small_copy_joins_no_two_pictures(tmp_path: Path, order: list[int]) -> None:
    one, other = chart([40, 60, 20]), chart([41, 60, 21])  # bars of 2 pixels more
    small = encoded(scaled(one, 0.3), "JPEG", quality=60)
    given = [encoded(one), encoded(other), small]
    with ImageStore(tmp_path) as images:
        added = [images.add(data) for data in given]
        images.flush()
        near = apart_stored(images, added[1], added[2])
        assert max(near[0] / BRIGHTNESS, near[1] / COLOUR) < 1  # the small one passes for both
        names = [added[i] for i in order]
        same = same_pictures(images, names)
    assert same[added[2]] == same[added[0]]
    assert same[added[1]] == added[1]


def test_colour_and_shape_count(tmp_path: Path) -> None:
    values = [20, 50, 80]
    with ImageStore(tmp_path) as images:
        names = [
            images.add(encoded(picture))
            for picture in (
                chart(values),
                chart(values, shift=1),
                chart(values, size=(400, 330)),
                chart(values).convert("RGBA"),
            )
        ]
        images.flush()
        same = same_pictures(images, names)
    assert [same[name] for name in names] == [*names[:3], names[0]]


@pytest.mark.parametrize("count", [500, ALL_PAIRS + 500])
def test_candidates_are_those_of_a_plain_comparison(count: int) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, count, dtype=np.uint64)
    planted = np.arange(0, 100, 2)
    for number, row in enumerate(planted):
        flipped = rng.choice(64, number % 6 + 1, replace=False).astype(np.uint64)
        bits = np.bitwise_or.reduce(np.uint64(1) << flipped)
        hashes[row + 1] = hashes[row] ^ bits
    first, second = near_pairs(hashes)
    assert (first < second).all()
    assert (np.bitwise_count(hashes[first] ^ hashes[second]) <= BITS).all()
    assert set(planted.tolist()) <= set(first[second == first + 1].tolist())


def test_items_about_copies_of_a_picture_are_duplicates(workspace: Path) -> None:
    store = Store(workspace)
    picture = chart([20, 50, 80])
    with ImageStore(store.images_folder) as images:
        names = [
            images.add(data)
            for data in (encoded(picture), *copies(picture)[:2], encoded(chart([20, 50, 85])))
        ]
    question = "Which of the bars of this chart is the tallest one of them all, by its letter?"
    rows = [item(question, images=[name]) for name in names]
    rows.append(item("How many bars are there in this chart?", images=names[:1]))
    items = dataset(store, "items", "item", rows)
    plain, _ = make_filtered(store, items, chain=["near_dedup"], name="plain")
    assert plain.manifest.rows == 5
    near, _ = make_filtered(store, items, chain=[{"near_dedup": {"images": "near"}}], name="near")
    assert near.table()["id"].to_pylist() == [rows[i]["id"] for i in (0, 3, 4)]
