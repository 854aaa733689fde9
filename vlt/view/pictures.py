"""Images of the workspace, read one at a time through the image store; thumbnails are made on demand."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from pathlib import Path

from vlt.errors import UserError
from vlt.images.decode import small_webp
from vlt.images.store import ImageStore

THUMB = 360
"""Pixels of a thumbnail's longer side."""
HELD_BYTES = 24 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Pictures:
    """Bytes of images and of their thumbnails; thread-safe."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._store: ImageStore | None = None
        self._small: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._lock = threading.Lock()
        self._decoding = threading.BoundedSemaphore(2)

    def whole(self, sha256: str) -> tuple[bytes, str]:
        """(bytes, media type); raises UserError if the workspace has no such image."""
        store = self._opened(sha256)
        return store.read(sha256), f"image/{store.info(sha256).format.lower()}"

    def small(self, sha256: str) -> tuple[bytes, str]:
        """The same, at most THUMB pixels a side; a smaller image is returned as it is."""
        with self._lock:
            if sha256 in self._small:
                self._small.move_to_end(sha256)
                return self._small[sha256]
        info = self._opened(sha256).info(sha256)
        if max(info.width, info.height) <= THUMB:
            return self.whole(sha256)
        with self._decoding:
            made = small_webp(self.whole(sha256)[0], THUMB), "image/webp"
        with self._lock:
            self._small[sha256] = made
            while sum(len(data) for data, _ in self._small.values()) > HELD_BYTES:
                self._small.popitem(last=False)
        return made

    def close(self) -> None:
        """Close the index and the packs."""
        if self._store:
            self._store.close()

    def _opened(self, sha256: str) -> ImageStore:
        if not _SHA256.fullmatch(sha256):
            raise UserError(f"{sha256!r} is not the sha256 of an image")
        with self._lock:
            if self._store is None:
                self._store = ImageStore(self._folder, read_only=True)
            return self._store
