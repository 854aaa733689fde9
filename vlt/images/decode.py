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
