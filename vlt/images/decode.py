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


def flattened(data: bytes) -> bytes:
    """The bytes as they are where nothing shows through, else the picture on white as a PNG.

    Others turn a transparent drawing into RGB by dropping its transparency, which leaves black lines on
    black: what goes out must look as `open_image` shows it. Raises OSError for bytes that do not decode.
    """
    if not _may_be_transparent(data):
        return data
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if not image.has_transparency_data:
            return data
        least, _ = image.convert("RGBA").getchannel("A").getextrema()
    if least == 255:
        return data
    out = io.BytesIO()
    open_image(data).save(out, "PNG")
    return out.getvalue()


def _may_be_transparent(data: bytes) -> bool:
    """By the file's head alone; JPEGs never are, and most PNGs say that they are not."""
    if data.startswith(b"\xff\xd8"):
        return False
    if data.startswith(b"\x89PNG"):
        alpha = data[25:26] in (b"\x04", b"\x06")
        return alpha or b"tRNS" in data[: data.find(b"IDAT") + 1]
    return True


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
