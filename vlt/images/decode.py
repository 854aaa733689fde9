"""An image's bytes as the picture that a model, a trainer and a page show."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def open_image(data: bytes) -> Image.Image:
    """The image in RGB, decoded now: a broken one must fail here and not in its batch."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return on_white(image.copy())


def on_white(image: Image.Image) -> Image.Image:
    """The picture in RGB; where it is transparent, white paper shows through.

    This is the one rule for that: captioner, student, duplicates, exports and pages see the same
    picture.
    """
    from PIL import Image

    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def small_webp(data: bytes, side: int) -> bytes:
    """The picture as a WebP of at most `side` pixels a side, for a page; transparent where it is."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (2 * side, 2 * side))  # a big JPEG is read at a fraction of its size
        image.thumbnail((side, side))
        mode = "RGBA" if image.has_transparency_data else "RGB"
        out = io.BytesIO()
        image.convert(mode).save(out, "WEBP", quality=82)
    return out.getvalue()
