"""Image references in a cell: bytes, files, URLs or base64, in the forms that datasets use."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from ast import literal_eval
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlt.datagen.sources.paths import Folders, ImageFile, image_file
from vlt.datagen.sources.row import BadRow

ImageRef = bytes | ImageFile | str
"""The image's bytes, its file, or its URL."""
INSIDE = ("bytes", "path", "url", "image_url", "image", "src", "file_name", "data")
"""Keys under which an object has its image, the likeliest first."""
LONG = 1_000
"""Characters from which a text is too long for a path."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
"""The first bytes of image files; RIFF is WebP."""
_SHORTEST = 40
"""Minimum characters of base64; shorter texts are names, since no image is that small."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)


def image_refs(value: Any, folders: Folders | Path | None) -> list[ImageRef]:
    """The images that a cell contains or names; raises BadRow for what cannot be an image."""
    if value is None:
        return []
    folders = Folders.of(folders) if isinstance(folders, Path) else folders
    if isinstance(value, str) and value.startswith("["):
        value = _listed(value)
    if isinstance(value, list | tuple):
        return [_image(v, folders) for v in value if v is not None]
    return [_image(value, folders)]


def looks_like_image(value: Any) -> bool:
    """Whether a cell of an unknown column probably contains images."""
    if isinstance(value, list | tuple):
        return bool(value) and all(looks_like_image(v) for v in value)
    if isinstance(value, bytes | bytearray):
        return value[:8].startswith(_MAGIC)
    if isinstance(value, Mapping):
        return any(looks_like_image(value[k]) for k in INSIDE[:4] if value.get(k) is not None)
    if not isinstance(value, str):
        return hasattr(value, "tobytes") and hasattr(value, "save")
    named = len(value) < LONG and re.search(
        r"\.(?:png|jpe?g|webp|gif|bmp|tiff?)(?:\?\S*)?\Z", value, re.I
    )
    return bool(named and "\n" not in value) or value[:11] == "data:image/" or is_base64(value)


def is_base64(text: str) -> bool:
    """Whether the text is an image in base64, padded or not, in either alphabet."""
    if len(text) < _SHORTEST or not _BASE64.match(text):
        return False
    try:
        start = _decoded("".join(text[:48].split())[:32])
    except (binascii.Error, ValueError):
        return False
    return start.startswith(_MAGIC) and bool(_BASE64.fullmatch("".join(text.split())))


def _listed(value: str) -> Any:
    """The list that a text contains as JSON or Python; a file name may also start with a bracket."""
    for parse in (json.loads, literal_eval):  # literal_eval builds values and runs nothing
        try:
            found = parse(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list) and all(isinstance(v, str | Mapping | None) for v in found):
            return found
    return value


def _image(value: Any, folders: Folders | None) -> ImageRef:
    for _ in range(3):  # {"image_url": {"url": ...}}
        if isinstance(value, Mapping):
            value = next((value[k] for k in INSIDE if value.get(k)), None)
    if isinstance(value, str) and value:
        return _written(value, folders)
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if hasattr(value, "tobytes") and hasattr(value, "save"):  # a PIL image from a Python source
        out = io.BytesIO()
        value.save(out, "PNG")
        return out.getvalue()
    raise BadRow(f"image is no file, no bytes and no URL: {type(value).__name__}")


def _written(value: str, folders: Folders | None) -> ImageRef:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRow(f"image path is not valid Unicode: {value[:200]}") from None
    if _SCHEME.match(value) and value[:5].lower() != "file:":
        if re.match(r"https?://", value, re.I):
            return value
        scheme = value.partition(":")[0]
        raise BadRow(
            f"image lies at {scheme}://, which is not fetched; copy it here: {value[:200]}"
        )
    if value[:5].lower() == "data:":
        return _base64(value.partition(",")[2])
    if len(value) > LONG or is_base64(value):
        return _base64(value)
    if folders is None:
        raise BadRow(f"image is a path where there is no folder: {value[:200]}")
    return image_file(value, folders)


def _base64(text: str) -> bytes:
    try:
        return _decoded("".join(text.split()))
    except (binascii.Error, ValueError):
        raise BadRow("image text is no base64") from None


def _decoded(text: str) -> bytes:
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
