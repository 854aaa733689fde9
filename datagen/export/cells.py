"""An image of the store in exported files: bytes in a cell, or a separate file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlt.images.decode import flattened
from vlt.images.store import ImageStore
from vlt.workspace.files import replaced


def image_cell(images: ImageStore, sha256: str, changed: set[str] | None = None) -> dict[str, Any]:
    """{"bytes": ..., "path": <sha256>.<ending>}; a transparent picture is put on white (see `flattened`),
    and its name is added to `changed`."""
    stored = images.read(sha256)
    shown = flattened(stored)
    if shown is stored:
        return {"bytes": stored, "path": image_name(images, sha256)}
    if changed is not None:
        changed.add(sha256)
    return {"bytes": shown, "path": f"{sha256}.png"}


def image_name(images: ImageStore, sha256: str) -> str:
    """A file name for the image in its stored format."""
    return f"{sha256}.{images.info(sha256).format.lower().replace('jpeg', 'jpg')}"


def image_file(images: ImageStore, sha256: str, folder: Path) -> str:
    """Write the image to `folder`/images, unless it exists, and return its path relative to `folder`."""
    for name in (image_name(images, sha256), f"{sha256}.png"):
        if (folder / "images" / name).exists():
            return f"images/{name}"
    cell = image_cell(images, sha256)
    path = folder / "images" / cell["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as part:
        part.write_bytes(cell["bytes"])
    return f"images/{path.name}"
