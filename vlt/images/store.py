"""The image store: every image once, by the sha256 of its bytes, in Parquet packs with an index.

    images/pack-<id>.parquet    columns sha256, width, height, format, phash, size, bytes
    images/index.sqlite         sha256 -> pack, offset, length and the image's properties

An image is read with one pread (see vlt.images.pack). The index has no information that the packs do not;
if it is lost or outdated, it is rebuilt from them.

Several processes may add at once: each writes its own packs, under a hidden name until they are complete.
A killed process leaves a hidden file, which the next one removes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from vlt.errors import UserError
from vlt.images.index import Index, IndexTaken, Place, ReadOnlyIndex
from vlt.images.inspect import BadImage, ImageInfo, Inspected, inspect_image
from vlt.images.pack import Pack, pack_places
from vlt.shared_disk import flock

__all__ = ["BadImage", "ImageInfo", "ImageStore", "Inspected", "inspect_image"]

PACK_BYTES = 1 << 30
ABANDONED_AFTER = 60.0
"""Seconds after which an unlocked hidden file is taken for a killed process's."""


class ImageStore(AbstractContextManager["ImageStore"]):
    """Adds and reads images. Threads may share one for reading; only one thread may add.

    With `read_only` it writes nothing at all, and works on a read-only disk.
    """

    def __init__(self, root: Path | str, *, read_only: bool = False):
        self.root = Path(root)
        self.read_only = read_only
        self._index: Index | ReadOnlyIndex
        if read_only:
            self._index = ReadOnlyIndex(self.root / "index.sqlite")
        else:
            self.root.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            try:
                self._index = Index(self.root / "index.sqlite")
            except IndexTaken:  # it can still be read, and what it lacks is in the packs
                self._index = ReadOnlyIndex(self.root / "index.sqlite")
        self._sync()
        self._pack: Pack | None = None
        self._files: dict[str, int] = {}
        self._files_lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._flush_lock = threading.Lock()

    def __reduce__(self) -> Any:
        """Pickled as a read-only store; one that is added to cannot be pickled."""
        if not self.read_only:
            raise pickle.PicklingError("only a read-only store can be pickled")
        return _arrived, (self.root, self.root.is_dir())

    def add(self, data: bytes) -> str:
        """Store an image and return its sha256; an existing one is not stored twice.

        An image that not all readers show in the same way (rotated by EXIF, CMYK, 16 bits, BMP, TIFF)
        is stored as an upright 8-bit PNG or JPEG. Raises BadImage.
        """
        return self.add_inspected(inspect_image(data))

    def add_inspected(self, image: Inspected) -> str:
        """As `add`, for the result of `inspect_image`, perhaps from another thread."""
        if image.sha256 not in self:
            self.add_new(image)
        return image.sha256

    def add_new(self, image: Inspected) -> None:
        """As `add_inspected`, for an image that was just found to be missing; a second copy in another
        pack would do no harm."""
        if self.read_only:
            raise ValueError(f"{self.root} is read-only; no image can be added")
        if self._pack is None:
            self._pack = Pack(self.root)
        if image.sha256 not in self._pack.images:
            self._pack.add(image)
        if self._pack.size >= PACK_BYTES:
            self.flush()

    def read(self, sha256: str) -> bytes:
        """The image's bytes; raises UserError if it is not in the store."""
        place = self._place(sha256)
        data = os.pread(self._open(place.pack), place.length, place.offset)
        if len(data) != place.length:
            raise UserError(f"{self.root / place.pack} is truncated; delete it and import again")
        return data

    def info(self, sha256: str) -> ImageInfo:
        """The image's properties; raises UserError if it is not in the store."""
        if (pack := self._pack) and sha256 in pack.images:
            return pack.images[sha256]
        return self._place(sha256).info

    def __contains__(self, sha256: object) -> bool:
        if (pack := self._pack) and sha256 in pack.images:
            return True
        return isinstance(sha256, str) and self._index.find(sha256) is not None

    def __len__(self) -> int:
        pack = self._pack
        return self._index.count() + (len(pack.images) if pack else 0)

    @property
    def packs(self) -> list[Path]:
        """The complete packs, for reading their columns (sha256, phash, ...) in bulk."""
        return sorted(self.root.glob("pack-*.parquet"))

    def flush(self) -> None:
        """Complete the current pack, so that other processes see its images."""
        with self._flush_lock:  # a concurrent reader waits until the pack can be read
            if self._pack:
                try:
                    self._index_pack(self._pack.complete())
                finally:
                    self._pack = None

    def close(self) -> None:
        """Flush, and close all files."""
        self.flush()
        self._index.close()
        while self._files:
            os.close(self._files.popitem()[1])

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self, sha256: str) -> Place:
        if (pack := self._pack) and sha256 in pack.images:
            self.flush()  # by one of the reading threads; the others wait
        place = self._index.find(sha256)
        if place is None:
            with self._sync_lock:  # one thread must not discard what another has just read
                place = self._index.find(sha256) or self._searched(sha256)
        if place is None:
            raise UserError(f"image {sha256} is not in {str(self.root)!r}; import its source again")
        return place

    def _searched(self, sha256: str) -> Place | None:
        """The location of an image that is not in the index, or None."""
        self._index.refresh()
        self._sync()  # another process may have ended between writing its pack and the index
        if place := self._index.find(sha256):
            return place
        # A table read while it was being written may have the packs' names but not yet their images:
        # the packs themselves are always right.
        self._index.leave_table()
        self._sync()
        return self._index.find(sha256)

    def _open(self, pack: str) -> int:
        with self._files_lock:
            if pack not in self._files:
                self._files[pack] = os.open(self.root / pack, os.O_RDONLY)
            return self._files[pack]

    def _sync(self) -> None:
        """Update the index to match the existing packs."""
        there = {pack.name: pack.stat().st_size for pack in self.packs}
        for name in self._index.packs().keys() - there.keys():
            self._index.forget(name)
        known = self._index.packs()
        for name in sorted(there):
            if known.get(name) != there[name]:
                self._index_pack(self.root / name)

    def _index_pack(self, pack: Path) -> None:
        self._index.learn(pack.name, pack.stat().st_size, pack_places(pack))

    def _remove_abandoned(self) -> None:
        for part in self.root.glob(".pack-*"):
            try:
                with open(part, "rb") as opened:
                    flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if time.time() - part.stat().st_mtime > ABANDONED_AFTER:
                        part.unlink()
            except (BlockingIOError, FileNotFoundError):
                continue  # its writer lives, or has just renamed it


def _arrived(root: Path, there: bool) -> ImageStore:
    """The store in another process, possibly on another machine, which must see the folder too."""
    if there and not root.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(root))
    return ImageStore(root, read_only=True)
