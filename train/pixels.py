"""An image's size in a training: brought once into a range of pixels, as the processor would."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

from vlt.engine.models import open_image

MAX_ASPECT = 200  # Qwen2-VL's processor refuses longer strips


@dataclass(frozen=True)
class Pixels:
    """The range that an image's size is brought into, as the model's own processor would."""

    min: int
    max: int
    """Pixels of an image, width x height."""
    factor: int = 28
    """Both sides become multiples of this: the processor's patch size x merge size."""

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after resizing; the rule is that of Qwen2-VL's image processor."""
        f = self.factor
        w, h = (round(side / f) * f for side in (width, height))
        if w * h > self.max:
            shrink = math.sqrt(width * height / self.max)
            w, h = (max(f, math.floor(side / shrink / f) * f) for side in (width, height))
        elif w * h < max(1, self.min):
            grow = math.sqrt(max(1, self.min) / (width * height))
            w, h = (math.ceil(side * grow / f) * f for side in (width, height))
        return w, h


def fitted(data: bytes, pixels: Pixels | None) -> bytes:
    """The image's bytes as they are where they fit, else resized (bicubic) as a lossless PNG.

    Raises ValueError for a strip that no processor takes, OSError for bytes that do not decode.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data)) as header:
        (width, height), mode = header.size, header.mode
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ValueError(f"{width} x {height} is too long a strip")
    image = open_image(data)
    size = pixels.fit(width, height) if pixels else (width, height)
    if size == (width, height):
        if mode == "RGB":
            return data
    else:
        image = image.resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()
