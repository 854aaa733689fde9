"""What an image is, and whether it may enter: decoded once, measured, hashed.

Formats that every engine and trainer reads alike (PNG, JPEG, WebP; upright, 8 bits, no CMYK) are
kept to the byte. Others are turned into an upright 8-bit image, once and here, so that captioner,
student and exports see the same picture.
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
"""Longer side over shorter; the Qwen-VL processors refuse more."""
READ = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that are tried; those that run a program of their own (EPS, PDF) never are."""
KEPT_FORMATS = ("PNG", "JPEG", "WEBP")
KEPT_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
ORIENTATION = 0x0112

# Odd EXIF, large images and the like; what matters is checked below. Once and here, because to set
# filters for a while is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadImage(Exception):
    """The image cannot be taken; `reason` says why, without what differs from image to image
    before the first colon or bracket."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ImageInfo:
    """What an image is."""

    width: int
    height: int
    format: str
    """PNG, JPEG or WEBP."""
    bytes: int
    """How many bytes it has."""
    phash: int
    """64 bits; two pictures that look alike differ in few of them (see `distance`)."""


@dataclass(frozen=True)
class Inspected:
    """An image that may enter the store."""

    sha256: str
    data: bytes
    info: ImageInfo
    converted: bool
    """Whether `data` are other bytes than those given."""


def inspect_image(data: bytes, sha256: str | None = None) -> Inspected:
    """Decode, check and measure an image, whose `sha256` may be known; thread-safe. Raises BadImage."""
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
    # Decoders raise whatever they like on damaged files, struct.error and IndexError among them.
    except Exception as error:
        raise BadImage(f"image does not decode: {_words(error)}") from error


def distance(a: int, b: int) -> int:
    """How many of the 64 bits of two perceptual hashes differ; up to about 8 looks the same."""
    return (a ^ b).bit_count()


def perceptual_hash(image: Image.Image) -> int:
    """64 bits from the lowest frequencies (8 x 8 of a 32 x 32 cosine transform), above the median.

    Stays nearly the same when the image is scaled or compressed again.
    """
    grey = np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.float32)
    waves = _waves()
    low = (waves @ grey @ waves.T).ravel()
    middle = np.sort(low[1:])[31]  # without the first, which says only how bright the image is
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
    if frames > 1 and image.format != "MPO":  # a phone's MPO is a JPEG with a preview behind it
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
    image.draft("L", (32, 32))  # a JPEG is read at an eighth; damaged ones are found all the same
    image.load()
    info = ImageInfo(width, height, format, len(data), perceptual_hash(_grey(image)))
    return Inspected(sha256 or hashlib.sha256(data).hexdigest(), data, info, converted)


def _grey(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = on_white(image)
    return image if image.mode == "L" else image.convert("L")


def _converted(image: Image.Image) -> bytes:
    """The image upright, in 8 bits; JPEG where it was one, else PNG (which loses nothing)."""
    format = "JPEG" if image.format in ("JPEG", "MPO") else "PNG"
    profile = image.info.get("icc_profile") if image.mode == "RGB" else None
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    elif image.mode not in KEPT_MODES or (format == "JPEG" and image.mode not in ("L", "RGB")):
        image = image.convert("RGBA" if "a" in image.mode.lower()[1:] else "RGB")
    out = io.BytesIO()
    image.info = {}  # EXIF among it, which would turn it once more
    image.save(out, format, quality=95, icc_profile=profile)
    return out.getvalue()


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise BadImage("image has values that are not numbers")
    top = 65535.0 if image.mode.startswith("I") else max(1.0, float(values.max(initial=0.0)))
    return Image.fromarray((np.clip(values / top, 0, 1) * 255).round().astype(np.uint8))


def _words(error: Exception) -> str:
    """The decoder's words without addresses of objects."""
    text = str(error).split("\n", 1)[0]
    if "cannot identify" in text:
        return "no PNG, JPEG, WebP, GIF, BMP or TIFF"
    return text[:200] or type(error).__name__
