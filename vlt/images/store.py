"""The image store: every image once, by the sha256 of its bytes, in Parquet packs with an index.

    images/pack-<id>.parquet    columns sha256, width, height, format, phash, size, bytes
    images/index.sqlite         sha256 -> pack, offset, length and what the image is

An image is read with one pread (see vlt.images.pack). The index holds nothing that the packs do not;
where it is lost or behind, it is made again from them.

Several processes may add at once: each writes packs of its own, under a hidden name until they are
complete. What a killed process leaves is a hidden file, which the next one removes.
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
"""Seconds after which a hidden file that nobody has locked is taken for a killed process's."""


class ImageStore(AbstractContextManager["ImageStore"]):
    """Adds and reads images. Readers may share one among threads; adding is for one thread.

    One that is opened `read_only` writes nothing at all: for looking, also on a read-only disk.
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
            except IndexTaken:  # what it holds can be read, and what it lacks is in the packs
                self._index = ReadOnlyIndex(self.root / "index.sqlite")
        self._sync()
        self._pack: Pack | None = None
        self._files: dict[str, int] = {}
        self._files_lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._flush_lock = threading.Lock()

    def __reduce__(self) -> Any:
        """In another process it is one that only reads; who adds stays where it is."""
        if not self.read_only:
            raise pickle.PicklingError("a store that is added to stays in its process")
        return _arrived, (self.root, self.root.is_dir())

    def add(self, data: bytes) -> str:
        """Keep an image and return its sha256; one that is there already is not kept twice.

        An image that not every reader would show alike (rotated by EXIF, CMYK, 16 bits, BMP, TIFF)
        is kept as an upright 8-bit PNG or JPEG instead. Raises BadImage.
        """
        return self.add_inspected(inspect_image(data))

    def add_inspected(self, image: Inspected) -> str:
        """As `add`, for what `inspect_image` has found good, perhaps in another thread."""
        if image.sha256 not in self:
            self.add_new(image)
        return image.sha256

    def add_new(self, image: Inspected) -> None:
        """As `add_inspected`, for an image that was just seen not to be here; a second copy in
        another pack would do no harm."""
        if self.read_only:
            raise ValueError(f"{self.root} was opened to be read, and an image was added")
        if self._pack is None:
            self._pack = Pack(self.root)
        if image.sha256 not in self._pack.images:
            self._pack.add(image)
        if self._pack.size >= PACK_BYTES:
            self.flush()

    def read(self, sha256: str) -> bytes:
        """The image's bytes; raises UserError where the store does not hold it."""
        place = self._place(sha256)
        data = os.pread(self._open(place.pack), place.length, place.offset)
        if len(data) != place.length:
            raise UserError(f"{self.root / place.pack} is cut short; delete it and import again")
        return data

    def info(self, sha256: str) -> ImageInfo:
        """What the image is; raises UserError where the store does not hold it."""
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
        """The complete packs, for those who read their columns (sha256, phash, ...) in bulk."""
        return sorted(self.root.glob("pack-*.parquet"))

    def flush(self) -> None:
        """Complete the pack in the making: from here on others see its images."""
        with self._flush_lock:  # a reader that comes meanwhile waits until the pack can be read
            if self._pack:
                try:
                    self._index_pack(self._pack.complete())
                finally:
                    self._pack = None

    def close(self) -> None:
        """Flush, and free what is open."""
        self.flush()
        self._index.close()
        while self._files:
            os.close(self._files.popitem()[1])

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self, sha256: str) -> Place:
        if (pack := self._pack) and sha256 in pack.images:
            self.flush()  # by one of the threads that read; the others wait
        place = self._index.find(sha256)
        if place is None:
            with self._sync_lock:  # what one thread has learnt the next one must not take away
                place = self._index.find(sha256) or self._found_anew(sha256)
        if place is None:
            raise UserError(f"image {sha256} is not in {str(self.root)!r}; import its source again")
        return place

    def _found_anew(self, sha256: str) -> Place | None:
        """Where an image lies that the index does not know, or None."""
        self._index.refresh()
        self._sync()  # another process may have ended between its pack and the index
        if place := self._index.find(sha256):
            return place
        # Of a table that was read while it was written the packs' names may have come, and not yet
        # their images: the packs themselves are always right.
        self._index.leave_table()
        self._sync()
        return self._index.find(sha256)

    def _open(self, pack: str) -> int:
        with self._files_lock:
            if pack not in self._files:
                self._files[pack] = os.open(self.root / pack, os.O_RDONLY)
            return self._files[pack]

    def _sync(self) -> None:
        """Make the index agree with the packs that are there."""
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
    """A store in another process, perhaps of another machine: it must see the folder that is there."""
    if there and not root.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(root))
    return ImageStore(root, read_only=True)
