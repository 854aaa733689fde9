"""Pictures for tests, good and bad, drawn and broken here."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image


def picture(seed: int = 0, size: tuple[int, int] = (120, 90), mode: str = "RGB") -> Image.Image:
    """A smooth picture that differs with the seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, format: str = "PNG", **settings: object) -> bytes:
    """The image's bytes."""
    out = io.BytesIO()
    image.save(out, format, **settings)
    return out.getvalue()


def png(seed: int = 0) -> bytes:
    """A good image."""
    return encoded(picture(seed))


def turned_jpeg() -> bytes:
    """A JPEG that is to be shown turned by a quarter, as phones write them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(3), "JPEG", exif=exif, quality=95)


def animation(format: str) -> bytes:
    """Three frames."""
    frames = [picture(i) for i in range(3)]
    return encoded(frames[0], format, save_all=True, append_images=frames[1:])


def bomb() -> bytes:
    """A small PNG that claims 40,000 x 40,000 pixels."""
    data = bytearray(encoded(Image.new("1", (8, 8))))
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def sixteen_bits() -> Image.Image:
    """A ramp from black to white in 16 bits."""
    return Image.fromarray(np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16))
