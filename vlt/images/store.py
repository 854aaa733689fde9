"""The image store: every image once, by the sha256 of its bytes, in Parquet packs with an index.

    images/pack-<id>.parquet    columns sha256, width, height, format, phash, size, bytes
    images/index.sqlite         sha256 -> pack, offset, length and what the image is

`bytes` are uncompressed and PLAIN with one page to a row group, so the values are the tail of the
column's chunk, each behind four bytes of its length: an image is read with one pread. The index
holds nothing that the packs do not; where it is lost or behind, it is made again from them.

Several processes may add at once: each writes packs of its own, under a hidden name until they are
complete. What a killed process leaves is a hidden file, which the next one removes.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import threading
import time
import uuid
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vlt.errors import UserError
from vlt.images.index import Index, IndexTaken, Place, ReadOnlyIndex
from vlt.images.inspect import BadImage, ImageInfo, Inspected, inspect_image
from vlt.shared_disk import flock

__all__ = ["BadImage", "ImageInfo", "ImageStore", "Inspected", "inspect_image"]

PACK = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("phash", pa.uint64(), nullable=False),
        pa.field("size", pa.int32(), nullable=False),
        pa.field("bytes", pa.binary(), nullable=False),
    ]
)
GROUP_IMAGES, GROUP_BYTES = 1_000, 2 << 20
"""Of a row group. With more bytes each is written to memory that the kernel has to hand out anew,
which took four times as long (measured with 30 kB images)."""
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
        self._pack: _Pack | None = None
        self._files: dict[str, int] = {}
        self._files_lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._flush_lock = threading.Lock()

    def __reduce__(self) -> Any:
        """In another process it is one that only reads; who adds stays where it is."""
        if not self.read_only:
            raise pickle.PicklingError("a store that is added to stays in its process")
        return partial(ImageStore, read_only=True), (self.root,)

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
            self._pack = _Pack(self.root)
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


class _Pack:
    """A pack in the making: row groups are written as they fill up."""

    def __init__(self, root: Path):
        self.root = root
        self.images: dict[str, ImageInfo] = {}
        self.size = 0
        self._group: list[Inspected] = []
        self._group_bytes = 0
        self._part = root / f".pack-{uuid.uuid4().hex}"
        # Held until the pack is complete: its lock says that the writer lives.
        self._file = open(self._part, "ab")  # noqa: SIM115
        flock(self._file, fcntl.LOCK_EX)
        self._writer = pq.ParquetWriter(
            self._part,
            PACK,
            compression={name: "NONE" if name == "bytes" else "ZSTD" for name in PACK.names},
            use_dictionary=False,
            write_statistics=False,
            column_encoding={"bytes": "PLAIN"},
            data_page_size=1 << 30,
            max_rows_per_page=1 << 30,
        )

    def add(self, image: Inspected) -> None:
        self.images[image.sha256] = image.info
        self._group.append(image)
        self._group_bytes += len(image.data)
        self.size += len(image.data)
        if len(self._group) >= GROUP_IMAGES or self._group_bytes >= GROUP_BYTES:
            self._write_group()

    def complete(self) -> Path:
        """Write what is held and rename the pack into its place."""
        if self._group:
            self._write_group()
        self._writer.close()
        pack = self.root / f"pack-{time.time_ns():x}-{uuid.uuid4().hex[:8]}.parquet"
        self._part.rename(pack)
        self._file.close()
        return pack

    def _write_group(self) -> None:
        group, self._group, self._group_bytes = self._group, [], 0
        infos = [image.info for image in group]
        ends = np.cumsum([0, *(len(image.data) for image in group)], dtype=np.int32)
        joined = pa.py_buffer(b"".join(image.data for image in group))  # once, and not row by row
        columns = [
            pa.array([image.sha256 for image in group], pa.string()),
            pa.array([info.width for info in infos], pa.int32()),
            pa.array([info.height for info in infos], pa.int32()),
            pa.array([info.format for info in infos], pa.string()),
            pa.array([info.phash for info in infos], pa.uint64()),
            pa.array([info.bytes for info in infos], pa.int32()),
            pa.Array.from_buffers(pa.binary(), len(group), [None, pa.py_buffer(ends), joined]),
        ]
        table = pa.Table.from_arrays(columns, schema=PACK)
        self._writer.write_table(table, row_group_size=len(group))


def pack_places(pack: Path) -> list[tuple[str, Place]]:
    """(sha256, where it lies) of every image of a pack, from the sizes and the column's chunks.

    Raises UserError where the file is no pack, or was written in another layout.
    """
    try:
        with pq.ParquetFile(pack) as opened:
            places = [
                place
                for group in range(opened.num_row_groups)
                for place in _group_places(pack, opened, group)
            ]
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{pack} is not an image pack ({error}); delete it") from error
    return places


def _group_places(pack: Path, opened: pq.ParquetFile, group: int) -> list[tuple[str, Place]]:
    rows = opened.read_row_group(group, columns=PACK.names[:-1]).to_pylist()
    chunk = opened.metadata.row_group(group).column(PACK.names.index("bytes"))
    end = chunk.data_page_offset + chunk.total_compressed_size
    offset = end - sum(4 + row["size"] for row in rows)
    places = []
    for row in rows:
        info = ImageInfo(row["width"], row["height"], row["format"], row["size"], row["phash"])
        places.append((row["sha256"], Place(pack.name, offset + 4, row["size"], info)))
        offset += 4 + row["size"]
    _check_places(pack, [place for _, place in places])
    return places


def _check_places(pack: Path, places: list[Place]) -> None:
    """Every value must stand behind its length: the layout that one read to an image rests on."""
    with open(pack, "rb") as opened:
        for place in places:
            prefix = os.pread(opened.fileno(), 4, place.offset - 4)
            if int.from_bytes(prefix, "little") != place.length:
                raise UserError(f"{pack} is not laid out as a pack; delete it and import again")
