"""The drawn world: pictures from layouts, their exact captions, and items for the loop.

    from vlt.datagen.miniature import records
    for row in records(1000, families=["shapes-count", "table-over"], split="train", seed=1): ...

A layout is six small numbers, and everything else (pixels, caption, answers) is a function of it.
All pictures are 84 x 56 pixels: six cells of 28 x 28, which a Qwen2.5-VL with patch 14 and merge 2
sees as six visual tokens.

* `shapes`: a 3 x 2 grid; 0 is an empty cell, else 1 + 2 * colour + shape.
* `table`:  a 3 x 2 grid of digits 1-9.
* `bars`:   six bars of height 1-6, 14 pixels wide.

Train and held-out items never share a layout: the split is a hash of the layout, not of the seed.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from vlt.datagen.miniature.questions import FAMILIES, ask

Split = Literal["train", "heldout"]

COLOURS = ("red", "blue", "green")
SHAPES = ("circle", "square")
CELL = 28
WIDTH, HEIGHT = 3 * CELL, 2 * CELL
UNKNOWN = "?"
"""What a caption says of a cell that it does not know."""
EMPTY_SHARE = 0.12
HELDOUT_SHARE = 0.125

_RGB = {"red": (214, 58, 48), "blue": (46, 96, 206), "green": (40, 156, 76)}
_INK = (40, 40, 48)
_BAR = (108, 92, 180)
_PAPER = (248, 248, 244)
# Digits are drawn from our own 3 x 5 bitmaps: no font file decides what a picture looks like.
_DIGITS = {
    1: "010 110 010 010 111",
    2: "111 001 111 100 111",
    3: "111 001 011 001 111",
    4: "101 101 111 001 001",
    5: "111 100 111 001 111",
    6: "111 100 111 101 111",
    7: "111 001 010 010 010",
    8: "111 101 111 101 111",
    9: "111 101 111 001 111",
}


@dataclass(frozen=True)
class Layout:
    """A picture, before it is drawn."""

    picture: str
    """shapes, table or bars."""
    cells: tuple[int, ...]
    """Six numbers, row by row (bars: left to right)."""

    def __str__(self) -> str:
        return f"{self.picture}-{''.join(map(str, self.cells))}"

    @classmethod
    def parse(cls, text: str) -> Layout:
        """The layout written as `shapes-013256`."""
        picture, digits = text.split("-")
        return cls(picture, tuple(map(int, digits)))

    @property
    def split(self) -> Split:
        """Which side this layout is on, for ever and for every seed."""
        digest = hashlib.sha256(str(self).encode()).digest()
        return "heldout" if digest[0] < 256 * HELDOUT_SHARE else "train"


def sample_layout(picture: str, rng: random.Random, split: Split) -> Layout:
    """A random layout of this picture on this side of the split."""
    while True:
        if picture == "shapes":
            cells = tuple(0 if rng.random() < EMPTY_SHARE else rng.randint(1, 6) for _ in range(6))
        else:
            low, high = 1, 9 if picture == "table" else 6
            if picture == "bars" and rng.random() < 0.5:
                # Half of the charts use a narrower range, or the tallest would nearly always be 5
                # above the shortest and "5" a good guess.
                low = rng.randint(1, 4)
                high = rng.randint(low + 2, 6)
            cells = tuple(rng.randint(low, high) for _ in range(6))
        layout = Layout(picture, cells)
        if layout.split == split:
            return layout


def cell_words(layout: Layout) -> list[str]:
    """What stands in each of the six cells, in words."""
    if layout.picture != "shapes":
        return [str(cell) for cell in layout.cells]
    return [
        f"{COLOURS[(cell - 1) // 2]} {SHAPES[(cell - 1) % 2]}" if cell else "empty"
        for cell in layout.cells
    ]


def caption(layout: Layout, lacking: int | None = None) -> str:
    """The exact caption, e.g. `Shapes: red circle, empty, blue square, ...`.

    It may lack one of the six cells (0-5), and says `?` of that one.
    """
    words = cell_words(layout)
    if lacking is not None:
        words[lacking] = UNKNOWN
    return f"{layout.picture.capitalize()}: {', '.join(words)}."


def draw(layout: Layout) -> np.ndarray:
    """The picture as uint8 [56, 84, 3]."""
    canvas = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    canvas[:] = _PAPER
    ys, xs = np.mgrid[0:CELL, 0:CELL] - (CELL - 1) / 2
    for place, cell in enumerate(layout.cells):
        row, column = divmod(place, 3)
        tile = canvas[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        if layout.picture == "shapes":
            if cell:
                circle = (cell - 1) % 2 == 0
                inside = xs**2 + ys**2 <= 100 if circle else np.maximum(abs(xs), abs(ys)) <= 9
                tile[inside] = _RGB[COLOURS[(cell - 1) // 2]]
        elif layout.picture == "table":
            bits = np.array([[bit == "1" for bit in line] for line in _DIGITS[cell].split()])
            glyph = bits.repeat(4, axis=0).repeat(4, axis=1)
            tile[4 : 4 + glyph.shape[0], 8 : 8 + glyph.shape[1]][glyph] = _INK
        else:
            canvas[HEIGHT - 2 - 8 * cell : HEIGHT - 2, place * 14 + 2 : place * 14 + 12] = _BAR
    return canvas


def png(layout: Layout) -> bytes:
    """The picture as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(draw(layout)).save(out, format="PNG")
    return out.getvalue()


def shares(families: Sequence[str] | Mapping[str, float], n: int) -> list[str]:
    """n family names in the asked proportions (largest remainder), in the order of `families`."""
    weights = dict(families) if isinstance(families, Mapping) else dict.fromkeys(families, 1.0)
    unknown = sorted(set(weights) - set(FAMILIES))
    if unknown or not weights:
        known = ", ".join(FAMILIES)
        raise ValueError(f"unknown family {', '.join(unknown) or '(none given)'}; known: {known}")
    if min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise ValueError(f"family weights must be positive: {weights}")
    total = sum(weights.values())
    exact = {name: n * weight / total for name, weight in weights.items()}
    counts = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: n - sum(counts.values())]:
        counts[name] += 1
    return [name for name, count in counts.items() for _ in range(count)]


def records(
    n: int,
    *,
    families: Sequence[str] | Mapping[str, float],
    split: Split,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """n items, each with a picture of its own; the same arguments give the same items.

    `families` are names (equal shares) or names with weights; see `FAMILIES`. Raises ValueError for
    an unknown family or split, or when the split has not enough different pictures.
    """
    if split not in ("train", "heldout"):
        raise ValueError(f"unknown split {split!r}; known: train, heldout")
    names = shares(families, n)
    rng = random.Random(f"miniature {split} {seed}")
    rng.shuffle(names)
    seen: set[Layout] = set()
    for name in names:
        for _ in range(1000):
            layout = sample_layout(FAMILIES[name].picture, rng, split)
            if layout not in seen:
                break
        else:
            raise ValueError(f"the {split} split has too few {FAMILIES[name].picture} for n={n}")
        seen.add(layout)
        question = ask(name, layout.cells, rng)
        yield {
            "source": f"miniature-{layout.picture}",
            "question": question.text,
            "choices": [],
            "answer": question.answer,
            "answer_type": FAMILIES[name].answer_type,
            "images": [png(layout)],
            "meta": {"family": name, "level": FAMILIES[name].level, "layout": str(layout)},
        }
