"""A pack of images: a Parquet file in which each image can be read with one read call.

`bytes` are uncompressed and PLAIN with one page per row group, so the values are the end of the column
chunk, each preceded by its length in four bytes.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vlt.errors import UserError
from vlt.images.index import Place
from vlt.images.inspect import ImageInfo, Inspected
from vlt.shared_disk import flock

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
"""Maximum of a row group. Larger ones are written to memory that the kernel must allocate each time,
which took four times as long (measured with 30 kB images)."""


class Pack:
    """A pack that is being written: row groups are written as they fill up."""

    def __init__(self, root: Path):
        self.root = root
        self.images: dict[str, ImageInfo] = {}
        self.size = 0
        self._group: list[Inspected] = []
        self._group_bytes = 0
        self._part = root / f".pack-{uuid.uuid4().hex}"
        # Open until the pack is complete: its lock shows that the writer is alive.
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
        """Add an image that is not in it yet."""
        self.images[image.sha256] = image.info
        self._group.append(image)
        self._group_bytes += len(image.data)
        self.size += len(image.data)
        if len(self._group) >= GROUP_IMAGES or self._group_bytes >= GROUP_BYTES:
            self._write_group()

    def complete(self) -> Path:
        """Write buffered images and rename the pack to its final name."""
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
        joined = pa.py_buffer(b"".join(image.data for image in group))  # at once, not row by row
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
    """(sha256, location) of every image of a pack, from the sizes and the column chunks.

    Raises UserError if the file is not a pack, or has another layout.
    """
    try:
        with pq.ParquetFile(pack) as opened:
            places = [
                place
                for group in range(opened.num_row_groups)
                for place in _group_places(pack, opened, group)
            ]
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{pack} is not an image pack ({error}); delete it and import again"
        ) from error
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
    """Check that every value is preceded by its length, the layout on which single reads rely."""
    with open(pack, "rb") as opened:
        for place in places:
            prefix = os.pread(opened.fileno(), 4, place.offset - 4)
            if int.from_bytes(prefix, "little") != place.length:
                raise UserError(
                    f"{pack} does not have the layout of a pack; delete it and import again"
                )
