"""An image of the store as other files hold it: bytes in a cell, or a file beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlt.images.decode import flattened
from vlt.images.store import ImageStore
from vlt.workspace.files import replaced


def image_cell(images: ImageStore, sha256: str, changed: set[str] | None = None) -> dict[str, Any]:
    """{"bytes": ..., "path": <sha256>.<ending>}; a transparent picture is on white (see `flattened`), and
    its name joins `changed`."""
    stored = images.read(sha256)
    shown = flattened(stored)
    if shown is stored:
        return {"bytes": stored, "path": image_name(images, sha256)}
    if changed is not None:
        changed.add(sha256)
    return {"bytes": shown, "path": f"{sha256}.png"}


def image_name(images: ImageStore, sha256: str) -> str:
    """A file's name for the image as the store has it."""
    return f"{sha256}.{images.info(sha256).format.lower().replace('jpeg', 'jpg')}"


def image_file(images: ImageStore, sha256: str, folder: Path) -> str:
    """Write the image under `folder`/images, unless it is there, and return its path in `folder`."""
    for name in (image_name(images, sha256), f"{sha256}.png"):
        if (folder / "images" / name).exists():
            return f"images/{name}"
    cell = image_cell(images, sha256)
    path = folder / "images" / cell["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as part:
        part.write_bytes(cell["bytes"])
    return f"images/{path.name}"
