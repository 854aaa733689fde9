"""An image's size when a model reads it: brought once into a range of pixels, as the processor would."""

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

MAX_ASPECT = 200  # Qwen2-VL's processor refuses longer strips
KEPT_BYTES = 32 << 20
"""Of resized images: a request's other samples and its further tries come soon after it."""
_RANGE = re.compile(r"(\d+):(\d+)(?:/(\d+))?")
_SIZED = re.compile(r"(.+)@" + _RANGE.pattern)


@dataclass(frozen=True)
class Pixels:
    """The range that an image's size is brought into, as the model's own processor would."""

    min: int
    max: int
    """Pixels of an image, width x height."""
    factor: int = 28
    """Both sides become multiples of this: the processor's patch size x merge size."""

    @classmethod
    def parse(cls, text: str) -> Pixels:
        """`MIN:MAX` or `MIN:MAX/FACTOR`; raises UsageError."""
        parsed = _RANGE.fullmatch(text.strip())
        if not parsed:
            raise UsageError(f"pixels {text!r} is not MIN:MAX; write e.g. 3136:262144")
        return cls(*(int(part) for part in parsed.groups() if part)).checked()

    def checked(self) -> Pixels:
        """Itself; raises UsageError where no image could have such a size."""
        if self.factor < 1 or not self.min <= self.max or self.max < self.factor**2:
            raise UsageError(
                f"pixels {self}: give MIN <= MAX, and a MAX of at least {self.factor} x "
                f"{self.factor} (sides are multiples of {self.factor})"
            )
        return self

    def __str__(self) -> str:
        return f"{self.min}:{self.max}/{self.factor}"

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


def sized(row: Mapping[str, Any], pixels: Pixels | None) -> Mapping[str, Any]:
    """The row with its images named together with the size that they are to be shown in.

    What a message names an image by is in the request's key: another size is another question.
    """
    return row if pixels is None else {**row, "images": [f"{i}@{pixels}" for i in row["images"]]}


def sizing(load: Callable[[str], bytes], kept_bytes: int = KEPT_BYTES) -> Callable[[str], bytes]:
    """`load`, also for the names that `sized` gives: the image resized, once for all its samples."""
    kept: OrderedDict[str, bytes] = OrderedDict()
    total = 0

    def load_sized(name: str) -> bytes:
        nonlocal total
        if name in kept:
            kept.move_to_end(name)
            return kept[name]
        parsed = _SIZED.fullmatch(name)
        if not parsed:
            return load(name)
        image, least, most, factor = parsed.groups()
        try:
            data = fitted(load(image), Pixels(int(least), int(most), int(factor)))
        except UserError:
            raise
        # Decoders raise whatever they like on damaged files, struct.error and IndexError among them.
        except Exception as error:
            raise UserError(f"image {image} cannot be resized: {error}") from error
        kept[name] = data
        total += len(data)
        while total > kept_bytes and len(kept) > 1:
            total -= len(kept.popitem(last=False)[1])
        return data

    return load_sized


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
