"""Properties of an image, and whether it is acceptable: decoded once, measured, hashed.

Formats that every engine and trainer reads in the same way (PNG, JPEG, WebP; upright, 8 bits, no CMYK) are
kept byte for byte. Others are converted to an upright 8-bit image here, once, so that captioner, student and
exports see the same picture.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps

from vlt.images.decode import on_white

MAX_BYTES = 32 << 20
MAX_PIXELS = 64_000_000
MAX_ASPECT = 200
"""Longer side over shorter; the Qwen-VL processors reject more."""
READ = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that are tried; those that run an external program (EPS, PDF) never are."""
KEPT_FORMATS = ("PNG", "JPEG", "WEBP")
KEPT_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
ORIENTATION = 0x0112

# Odd EXIF, large images and the like; what matters is checked below. Set once here, because setting
# filters temporarily is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadImage(Exception):
    """The image cannot be used; `reason` says why, with what differs from image to image after the
    first colon or bracket."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ImageInfo:
    """The properties of an image."""

    width: int
    height: int
    format: str
    """PNG, JPEG or WEBP."""
    bytes: int
    """Size in bytes."""
    phash: int
    """64 bits; two pictures that look similar differ in few of them (see `distance`)."""


@dataclass(frozen=True)
class Inspected:
    """An image that can be added to the store."""

    sha256: str
    data: bytes
    info: ImageInfo
    converted: bool
    """Whether `data` differs from the given bytes."""


def inspect_image(data: bytes, sha256: str | None = None) -> Inspected:
    """Decode, check and measure an image, whose `sha256` may be given; thread-safe. Raises BadImage."""
    if not data:
        raise BadImage("image is empty")
    if len(data) > MAX_BYTES:
        raise BadImage(f"image file is too big ({len(data):,} bytes, at most {MAX_BYTES:,})")
    try:
        image = _open(data)
        if image.format in KEPT_FORMATS and image.mode in KEPT_MODES and not _turned(image):
            return _inspected(data, image, sha256, converted=False)
        data = _converted(image)
        return _inspected(data, _open(data), None, converted=True)
    except BadImage:
        raise
    # Decoders raise all kinds of errors on damaged files, including struct.error and IndexError.
    except Exception as error:
        raise BadImage(f"image does not decode: {_words(error)}") from error


def distance(a: int, b: int) -> int:
    """The number of the 64 bits in which two perceptual hashes differ; up to about 8 looks the same."""
    return (a ^ b).bit_count()


def perceptual_hash(image: Image.Image) -> int:
    """64 bits: which of the lowest frequencies (8 x 8 of a 32 x 32 cosine transform) are above the median.

    It stays nearly the same if the image is scaled or compressed again.
    """
    grey = np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.float32)
    waves = _waves()
    low = (waves @ grey @ waves.T).ravel()
    middle = np.sort(low[1:])[31]  # without the first, which is only the brightness
    bits = low > middle
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@lru_cache(maxsize=1)
def _waves() -> np.ndarray:
    k, x = np.mgrid[0:8, 0:32]
    return np.cos(np.pi * k * (2 * x + 1) / 64).astype(np.float32)


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=READ)
    except Image.DecompressionBombError:
        raise BadImage(f"image has too many pixels (more than {MAX_PIXELS:,})") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadImage(f"image has too many pixels ({width} x {height}, at most {MAX_PIXELS:,})")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise BadImage(f"image is too narrow ({width} x {height}, at most {MAX_ASPECT} to 1)")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a phone's MPO is a JPEG followed by a preview
        kind = "has several pages" if image.format == "TIFF" else "is animated"
        raise BadImage(f"image {kind} ({frames} frames); which one is meant?")
    return image


def _turned(image: Image.Image) -> bool:
    return image.getexif().get(ORIENTATION, 1) not in (0, 1)


def _inspected(
    data: bytes, image: Image.Image, sha256: str | None, *, converted: bool
) -> Inspected:
    """`image` is the opened `data`, of a kept format and mode, upright."""
    width, height = image.size
    format = image.format or ""
    image.draft("L", (32, 32))  # a JPEG is decoded at an eighth; damage is still found
    image.load()
    info = ImageInfo(width, height, format, len(data), perceptual_hash(_grey(image)))
    return Inspected(sha256 or hashlib.sha256(data).hexdigest(), data, info, converted)


def _grey(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = on_white(image)
    return image if image.mode == "L" else image.convert("L")


def _converted(image: Image.Image) -> bytes:
    """The image upright, in 8 bits; JPEG if it was one, else PNG (lossless)."""
    format = "JPEG" if image.format in ("JPEG", "MPO") else "PNG"
    profile = image.info.get("icc_profile") if image.mode == "RGB" else None
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    elif image.mode not in KEPT_MODES or (format == "JPEG" and image.mode not in ("L", "RGB")):
        image = image.convert("RGBA" if "a" in image.mode.lower()[1:] else "RGB")
    out = io.BytesIO()
    image.info = {}  # including EXIF, which would rotate it again
    image.save(out, format, quality=95, icc_profile=profile)
    return out.getvalue()


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise BadImage("image has values that are not numbers")
    top = 65535.0 if image.mode.startswith("I") else max(1.0, float(values.max(initial=0.0)))
    return Image.fromarray((np.clip(values / top, 0, 1) * 255).round().astype(np.uint8))


def _words(error: Exception) -> str:
    """The decoder's message without addresses of objects."""
    text = str(error).split("\n", 1)[0]
    if "cannot identify" in text:
        return "no PNG, JPEG, WebP, GIF, BMP or TIFF"
    return text[:200] or type(error).__name__
