"""Synthetic images in two families, each image with a twin in which a single thing differs.

The limits of filters/near_images.py were chosen on `tuned` and are reported on `held_out`, whose images
are drawn by different code, in other sizes, colours and kinds.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Rng = np.random.Generator
Pair = tuple[Image.Image, Image.Image]
"""An image, and the same with one thing changed."""
BLUES = ("#4878a8", "#e08030", "#50a050", "#c04040", "#8060b0", "#a07050")
PASTEL = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#666666")


def changed(rng: Rng, values: list[int], low: int, high: int, least: int) -> list[int]:
    """The values with one of them changed by at least `least`."""
    out, place = list(values), int(rng.integers(len(values)))
    options = [v for v in range(low, high) if abs(v - values[place]) >= least]
    out[place] = int(rng.choice(options))
    return out


def bars(values: list[int], size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Vertical bars of values from 0 to 100."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    width, height, rim = *size, size[0] // 10
    step, high = (width - 2 * rim) / len(values), (height - 2 * rim) / 100
    draw.line([(rim, rim), (rim, height - rim), (width - rim, height - rim)], "black", 2)
    for i, value in enumerate(values):
        x = rim + i * step
        box = [x + step * 0.15, height - rim - value * high, x + step * 0.85, height - rim]
        draw.rectangle(box, BLUES[i % len(BLUES)])
        draw.text((x + step * 0.3, height - rim + 6), chr(65 + i), "black")
    return image


def tuned_chart(rng: Rng) -> Pair:
    """Vertical bars; one of them differs by at least two of 100."""
    values = rng.integers(5, 95, int(rng.integers(3, 8))).tolist()
    return bars(values), bars(changed(rng, values, 5, 95, 2))


def tuned_texture(rng: Rng) -> Pair:
    """Noise at several scales, like a photograph; the twin has a small extra patch."""
    height, width = 240, 320
    total = np.zeros((height, width, 3))
    for octave in range(6):
        cells = rng.random((3 << octave, 4 << octave, 3))
        layer = Image.fromarray((cells * 255).astype(np.uint8)).resize((width, height), 3)
        total += np.asarray(layer, float) / 1.7**octave
    total = (total - total.min()) / (total.max() - total.min()) * 255
    one = Image.fromarray(total.astype(np.uint8))
    other = one.copy()
    x, y = int(rng.integers(20, width - 60)), int(rng.integers(20, height - 60))
    dark = np.asarray(one.convert("L"))[y : y + 12, x : x + 12].mean() < 128
    ImageDraw.Draw(other).ellipse([x, y, x + 12, y + 12], "white" if dark else "black")
    return one, other


def tuned_geometry(rng: Rng) -> Pair:
    """A triangle with labelled corners; in the twin, one corner is elsewhere."""

    def drawn(corners: list[list[int]]) -> Image.Image:
        image = Image.new("RGB", (300, 300), "white")
        draw = ImageDraw.Draw(image)
        draw.polygon([tuple(c) for c in corners], outline="black", width=2)
        for name, (x, y) in zip("ABC", corners, strict=True):
            draw.text((x + 4, y - 12), name, "black")
        return image

    corners = [
        [int(x), int(y)]
        for x, y in rng.integers(0, 70, (3, 2)) + np.array([[30, 200], [200, 190], [120, 20]])
    ]
    moved = [list(c) for c in corners]
    moved[int(rng.integers(3))][int(rng.integers(2))] += int(rng.choice([-9, 9]))
    return drawn(corners), drawn(moved)


def tuned_diagram(rng: Rng) -> Pair:
    """Boxes joined by lines; in the twin, one line is missing."""
    places = [(40 + 110 * (i % 3), 30 + 90 * (i // 3)) for i in range(9)]
    edges = [(i, j) for i in range(9) for j in (i + 1, i + 3) if j < 9 and (j != i + 1 or j % 3)]
    kept = [edge for edge in edges if rng.random() < 0.6] or edges

    def drawn(lines: list[tuple[int, int]]) -> Image.Image:
        image = Image.new("RGB", (380, 300), "#fffff4")
        draw = ImageDraw.Draw(image)
        for i, j in lines:
            draw.line([(places[k][0] + 30, places[k][1] + 20) for k in (i, j)], "#202020", 3)
        for i, (x, y) in enumerate(places):
            draw.rectangle([x, y, x + 60, y + 40], BLUES[i % 6], "black", 2)
            draw.text((x + 24, y + 14), str(i), "white")
        return image

    gone = int(rng.integers(len(kept)))
    return drawn(kept), drawn(kept[:gone] + kept[gone + 1 :])


def held_bars(rng: Rng) -> Pair:
    """Grouped horizontal bars over a grid; one of them differs by at least two of 100."""
    groups, series = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    values = rng.integers(4, 96, groups * series).tolist()

    def drawn(lengths: list[int]) -> Image.Image:
        image = Image.new("RGB", (520, 340), "#fafafa")
        draw = ImageDraw.Draw(image)
        for tick in range(0, 101, 20):
            draw.line([60 + 4.3 * tick, 20, 60 + 4.3 * tick, 310], "#d0d0d0")
            draw.text((52 + 4.3 * tick, 316), str(tick), "#404040")
        thick = 280 / (len(lengths) + groups)
        for i, length in enumerate(lengths):
            y = 24 + (i + i // series) * thick
            draw.rectangle([60, y, 60 + 4.3 * length, y + thick * 0.9], PASTEL[i % series])
        return image

    return drawn(values), drawn(changed(rng, values, 4, 96, 2))


def held_photo(rng: Rng) -> Pair:
    """Soft blobs of light on a gradient, with grain; in the twin, the brightest one is missing."""
    y, x = np.mgrid[0:288, 0:384].astype(float)
    grain = rng.normal(0, 6, (288, 384, 3))
    slope = rng.normal(0, 0.25, (2, 3))
    blobs = [
        (rng.random(2) * (384, 288), rng.uniform(12, 60), rng.normal(0, 70, 3)) for _ in range(9)
    ]

    def drawn(blobs: list[tuple[Any, float, Any]]) -> Image.Image:
        total = 120 + grain + x[..., None] * slope[0] + y[..., None] * slope[1]
        for (at_x, at_y), wide, colour in blobs:
            away = (x - at_x) ** 2 + (y - at_y) ** 2
            total += np.exp(-away / (2 * wide**2))[..., None] * colour
        return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))

    blobs.sort(key=lambda blob: abs(float(blob[2] @ [0.3, 0.59, 0.11])))
    return drawn(blobs), drawn(blobs[:-1])


def held_lines(rng: Rng) -> Pair:
    """Two lines with eight points each; in the twin, one point is elsewhere."""
    values = rng.integers(10, 230, 16).tolist()

    def drawn(heights: list[int]) -> Image.Image:
        image = Image.new("RGB", (360, 260), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle([20, 10, 350, 245], outline="#303030")
        for series in (0, 1):
            points = [(30 + 44 * i, 245 - h) for i, h in enumerate(heights[8 * series :][:8])]
            draw.line(points, PASTEL[series], 3)
            for px, py in points:
                draw.ellipse([px - 4, py - 4, px + 4, py + 4], PASTEL[series])
        return image

    return drawn(values), drawn(changed(rng, values, 10, 230, 9))


def held_table(rng: Rng) -> Pair:
    """Numbers in cells; in the twin, one number differs."""
    values = rng.integers(10, 99, 15).tolist()

    def drawn(numbers: list[int]) -> Image.Image:
        image = Image.new("RGB", (330, 220), "white")
        draw = ImageDraw.Draw(image)
        for i, number in enumerate(numbers):
            left, top = 15 + 100 * (i % 3), 10 + 40 * (i // 3)
            draw.rectangle([left, top, left + 100, top + 40], outline="#808080")
            draw.text((left + 30, top + 8), str(number), "black", font_size=24)
        return image

    return drawn(values), drawn(changed(rng, values, 10, 99, 1))


FAMILIES: dict[str, dict[str, Callable[[Rng], Pair]]] = {
    "tuned": {
        "bars": tuned_chart,
        "texture": tuned_texture,
        "geometry": tuned_geometry,
        "diagram": tuned_diagram,
    },
    "held_out": {
        "grouped bars": held_bars,
        "photo": held_photo,
        "lines": held_lines,
        "table": held_table,
    },
}


def encoded(image: Image.Image, format: str = "PNG", **options: int) -> bytes:
    """The image's bytes."""
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def scaled(image: Image.Image, scale: float) -> Image.Image:
    """The image, rescaled."""
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC)


def copies(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """(how, bytes) of typical copies of an image."""
    yield "jpeg 90", encoded(image, "JPEG", quality=90)
    yield "jpeg 40", encoded(image, "JPEG", quality=40)
    yield "half size", encoded(scaled(image, 0.5))
    yield "3/4, jpeg 75", encoded(scaled(image, 0.75), "JPEG", quality=75)
    yield "double size", encoded(scaled(image, 2.0))


def cropped(image: Image.Image, share: float = 0.02) -> bytes:
    """The image cropped by `share` of its width and height, half on each side."""
    x, y = round(image.width * share / 2), round(image.height * share / 2)
    return encoded(image.crop((x, y, image.width - x, image.height - y)))
