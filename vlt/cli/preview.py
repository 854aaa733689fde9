"""Small previews of images in a terminal: kitty's or iTerm2's protocol, else coloured half blocks."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from typing import Literal

How = Literal["kitty", "iterm", "blocks"]

COLUMNS, ROWS, LEAST = 40, 16, 20
"""Maximum size in cells, and the columns that a small picture is enlarged to."""
CELL = 8
"""Approximate width of a cell in pixels; it is twice as high."""
CHUNK = 4096
"""Characters of base64 that kitty accepts in one sequence."""


def preview_of(environ: Mapping[str, str], *, terminal: bool, wanted: bool | None) -> How | None:
    """How to show an image, judging by the terminal's environment; None if it cannot be shown.

    `wanted` is the user's choice: False shows none, True shows blocks if nothing better is known.
    """
    if wanted is False or (not terminal and not wanted):
        return None
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    multiplexed = "TMUX" in environ or term.startswith(("screen", "tmux"))
    if terminal and not multiplexed and term != "dumb":
        if "KITTY_WINDOW_ID" in environ or term == "xterm-kitty" or program == "ghostty":
            return "kitty"
        if program in ("iTerm.app", "WezTerm", "mintty") or environ.get("LC_TERMINAL") == "iTerm2":
            return "iterm"
    coloured = environ.get("COLORTERM") in ("truecolor", "24bit") and term != "dumb"
    return "blocks" if coloured or wanted else None


def draw(image: bytes, how: How) -> str:
    """The text that draws the image, at most COLUMNS x ROWS cells; ends with a newline."""
    from PIL import Image

    from vlt.images.decode import open_image

    picture = open_image(image)
    if how == "blocks":  # a pixel is a column wide and half a row high
        columns, rows = _cells(*picture.size, 1)
        return _blocks(picture.resize((columns, 2 * rows), Image.Resampling.LANCZOS))
    columns, rows = _cells(*picture.size, CELL)
    picture.thumbnail((COLUMNS * 3 * CELL, ROWS * 6 * CELL))
    file = io.BytesIO()
    picture.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    if how == "iterm":
        size = f"size={len(file.getvalue())};width={columns};height={rows};preserveAspectRatio=1"
        return f"\x1b]1337;File=inline=1;{size}:{data}\x07\n"
    return _kitty(data, columns, rows)


def _cells(width: int, height: int, cell: int) -> tuple[int, int]:
    """Columns and rows in the picture's proportions: its own size, but not tiny."""
    columns, rows = width / cell, height / (2 * cell)
    scale = min(max(1.0, LEAST / columns), COLUMNS / columns, ROWS / rows)
    return max(1, math.ceil(columns * scale)), max(1, round(rows * scale))


def _blocks(picture: object) -> str:
    """Two pixels per cell: the upper one in the foreground colour, the lower in the background's."""
    import numpy as np

    pixels = np.asarray(picture)
    lines = []
    for above, below in zip(pixels[::2], pixels[1::2], strict=True):
        cells = [
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m▀"
            for a, b in zip(above, below, strict=True)
        ]
        lines.append("".join(cells) + "\x1b[0m\n")
    return "".join(lines)


def _kitty(data: str, columns: int, rows: int) -> str:
    """In chunks; q=2 suppresses the reply, which would end up in the user's next command."""
    chunks = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
    parts = []
    for number, chunk in enumerate(chunks):
        more = int(number < len(chunks) - 1)
        head = f"a=T,f=100,q=2,c={columns},r={rows},m={more}" if number == 0 else f"m={more}"
        parts.append(f"\x1b_G{head};{chunk}\x1b\\")
    return "".join(parts) + "\n"
