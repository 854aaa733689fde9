"""An image's size when a model sees it: resized once to a range of pixels, as the processor would."""

from __future__ import annotations

import io
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vlt.errors import UsageError, UserError
from vlt.images.decode import open_image

FACTOR = 28
"""Patch size x merge size of Qwen2-VL and 2.5-VL, used if a model's own is unknown."""
MAX_ASPECT = 200  # Qwen2-VL's processor rejects longer strips
KEPT_BYTES = 32 << 20
"""Cache size for resized images: a request's other samples and its retries follow soon after it."""
_RANGE = re.compile(r"(\d+):(\d+)(?:/(\d+))?")
_SIZED = re.compile(r"(.+)@" + _RANGE.pattern)


@dataclass(frozen=True)
class Pixels:
    """The range of pixels to which an image is resized: see vlt.engine.size_rule for a model's rule."""

    min: int
    """Minimum pixels, width x height; 0: the processor's own."""
    max: int
    """Maximum pixels, width x height."""
    factor: int | None = None
    """Both sides become multiples of this: the processor's patch size x merge size. None: its own."""

    @classmethod
    def parse(cls, text: str) -> Pixels:
        """From `MIN:MAX` or `MIN:MAX/FACTOR`; raises UsageError for anything else."""
        parsed = _RANGE.fullmatch(text.strip())
        if not parsed:
            raise UsageError(f"pixels {text!r} is not MIN:MAX; write e.g. 3136:262144")
        return cls(*(int(part) for part in parsed.groups() if part)).checked()

    def checked(self) -> Pixels:
        """Itself; raises UsageError if no image can have such a size."""
        factor = FACTOR if self.factor is None else self.factor
        if factor < 1 or not self.min <= self.max or self.max < factor**2:
            raise UsageError(
                f"pixels {self}: give MIN <= MAX, and a MAX of at least {factor} x "
                f"{factor} (sides are multiples of {factor})"
            )
        return self

    def __str__(self) -> str:
        return f"{self.min}:{self.max}" + (f"/{self.factor}" if self.factor else "")

    @classmethod
    def named(cls, name: str) -> tuple[str, Pixels | None]:
        """(image, range) from a name made by `sized`, or from a plain name."""
        parsed = _SIZED.fullmatch(name)
        if not parsed:
            return name, None
        image, least, most, factor = parsed.groups()
        return image, cls(int(least), int(most), int(factor) if factor else None)

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after resizing; the rule is that of Qwen2-VL's image processor."""
        f = self.factor or FACTOR
        w, h = (round(side / f) * f for side in (width, height))
        if w * h > self.max:
            shrink = math.sqrt(width * height / self.max)
            w, h = (max(f, math.floor(side / shrink / f) * f) for side in (width, height))
        elif w * h < max(1, self.min):
            grow = math.sqrt(max(1, self.min) / (width * height))
            w, h = (math.ceil(side * grow / f) * f for side in (width, height))
        return w, h


def sized(row: Mapping[str, Any], pixels: Pixels | None) -> Mapping[str, Any]:
    """The row with the range of pixels appended to the names of its images.

    Image names in messages are part of the request's key, so another range makes another request.
    """
    return row if pixels is None else {**row, "images": [f"{i}@{pixels}" for i in row["images"]]}


def sizing(
    load: Callable[[str], bytes], kept_bytes: int = KEPT_BYTES, own: Pixels | None = None
) -> Callable[[str], bytes]:
    """`load`, also for names made by `sized`: with the image resized, once for all its samples.

    For the range `own`, to which the model's server itself resizes images, they are unchanged.
    """
    kept: OrderedDict[str, bytes] = OrderedDict()
    total = 0

    def load_sized(name: str) -> bytes:
        nonlocal total
        if name in kept:
            kept.move_to_end(name)
            return kept[name]
        image, pixels = Pixels.named(name)
        if pixels is None or pixels == own:
            return load(image)
        try:
            data = fitted(load(image), pixels)
        except UserError:
            raise
        # Decoders raise all kinds of errors on damaged files, including struct.error and IndexError.
        except Exception as error:
            raise UserError(f"image {image} cannot be resized: {error}") from error
        kept[name] = data
        total += len(data)
        while total > kept_bytes and len(kept) > 1:
            total -= len(kept.popitem(last=False)[1])
        return data

    return load_sized


def fitted(data: bytes, pixels: Pixels | None) -> bytes:
    """The image's bytes unchanged if they fit, else resized (bicubic) as a lossless PNG.

    Raises ValueError for a strip that processors reject, OSError for bytes that do not decode.
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
