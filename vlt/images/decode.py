"""An image's bytes as the picture that a model, a trainer and a page show."""

from __future__ import annotations

import io
from typing import Any


def open_image(data: bytes) -> Any:
    """The image in RGB, decoded now: a broken one must fail here and not in its batch."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if image.mode == "RGB":
            image.load()
            return image.copy()
        if "A" in image.getbands() or "transparency" in image.info:
            seen = image.convert("RGBA")
            ground = Image.new("RGBA", seen.size, "white")
            return Image.alpha_composite(ground, seen).convert("RGB")
        return image.convert("RGB")


def flattened(data: bytes) -> bytes:
    """The bytes as they are where nothing shows through, else the picture on white as a PNG.

    Others turn a transparent drawing into RGB by dropping its transparency, which leaves black lines on
    black: what goes out must look as `open_image` shows it. Raises OSError for bytes that do not decode.
    """
    if not _may_be_transparent(data):
        return data
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if "A" not in image.getbands() and "transparency" not in image.info:
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
