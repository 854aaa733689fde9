"""An image's bytes as the picture that models, trainers and pages show."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def open_image(data: bytes) -> Image.Image:
    """The image in RGB, decoded at once, so that a broken one fails here and not in its batch."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return on_white(image.copy())


def on_white(image: Image.Image) -> Image.Image:
    """The picture in RGB, with white behind transparent parts.

    This is the only rule for transparency, so that captioner, student, duplicates, exports and pages see
    the same picture.
    """
    from PIL import Image

    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def flattened(data: bytes) -> bytes:
    """The bytes unchanged if nothing is transparent, else the picture on white as a PNG.

    Other programs convert a transparent drawing to RGB by dropping the alpha channel, which leaves black
    lines on black: exported images must look as `open_image` shows them. Raises OSError for bytes that do
    not decode.
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
    """Whether it may be, by the header alone: JPEGs never are, most PNGs declare that they are not."""
    if data.startswith(b"\xff\xd8"):
        return False
    if data.startswith(b"\x89PNG"):
        alpha = data[25:26] in (b"\x04", b"\x06")
        return alpha or b"tRNS" in data[: data.find(b"IDAT") + 1]
    return True


def small_webp(data: bytes, side: int) -> bytes:
    """The picture as a WebP with sides of at most `side` pixels, for a page; transparency is kept."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (2 * side, 2 * side))  # a large JPEG is decoded at a reduced size
        image.thumbnail((side, side))
        mode = "RGBA" if image.has_transparency_data else "RGB"
        out = io.BytesIO()
        image.convert(mode).save(out, "WEBP", quality=82)
    return out.getvalue()
