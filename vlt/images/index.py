"""sha256 -> the location of an image: a SQLite table beside the packs."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlt.errors import UserError
from vlt.images.inspect import ImageInfo
from vlt.shared_disk import kept_alone, shared_by_hosts

_TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS packs (name TEXT PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS images (
    sha256 BLOB PRIMARY KEY, pack TEXT NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, format TEXT NOT NULL, phash INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS images_pack ON images (pack);
"""


@dataclass(frozen=True)
class Place:
    """The location of an image's bytes, and its properties."""

    pack: str
    offset: int
    length: int
    info: ImageInfo


class IndexTaken(Exception):
    """Another process has the table, on a disk shared by hosts."""


class Index:
    """The table; several processes may have it open, and threads may share one instance."""

    def __init__(self, file: Path):
        self._file = file
        self._lock = threading.Lock()
        self._alone = shared_by_hosts(file.parent) is not None
        """Whether only one process at a time can have it: WAL's memory is not shared between hosts."""
        try:
            self._db = self._connect(file)
        except sqlite3.DatabaseError as error:
            if self._alone and "locked" in str(error):
                raise IndexTaken(str(file)) from error
            if isinstance(error, sqlite3.OperationalError):  # locked, no room, no permission
                raise UserError(
                    f"{str(file)!r} cannot be opened ({error}); check that its folder is writable"
                ) from error
            for ending in ("", "-wal", "-shm"):  # broken: rebuilt from the packs
                file.with_name(file.name + ending).unlink(missing_ok=True)
            self._db = self._connect(file)

    def find(self, sha256: str) -> Place | None:
        """The location of an image, or None."""
        with self._lock:
            return _find(self._db, sha256)

    def count(self) -> int:
        """The number of images in it."""
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM images").fetchone()[0])

    def packs(self) -> dict[str, int]:
        """Pack -> the size of its file when it was read."""
        with self._lock:
            return dict(self._db.execute("SELECT name, size FROM packs").fetchall())

    def learn(self, pack: str, size: int, places: Sequence[tuple[str, Place]]) -> None:
        """Add a pack's images; those already known from another pack keep that location."""
        rows = [
            (
                bytes.fromhex(sha256),
                place.pack,
                place.offset,
                place.length,
                place.info.width,
                place.info.height,
                place.info.format,
                place.info.phash
                - 2**64 * (place.info.phash >= 2**63),  # SQLite's integers are signed
            )
            for sha256, place in places
        ]
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM images WHERE pack = ?", (pack,))
            marks = ", ".join("?" * 8)
            self._db.executemany(f"INSERT OR IGNORE INTO images VALUES ({marks})", rows)
            self._db.execute("INSERT OR REPLACE INTO packs VALUES (?, ?)", (pack, size))

    def forget(self, pack: str) -> None:
        """Remove a missing pack's images; copies in other packs are found when those are read again."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM images WHERE pack = ?", (pack,))
            self._db.execute("DELETE FROM packs WHERE name = ?", (pack,))
            # Copies in other packs were ignored when those were read: have all packs read again.
            self._db.execute("UPDATE packs SET size = -1")

    def refresh(self) -> None:
        """Does nothing: SQLite itself sees changes by other processes."""

    def leave_table(self) -> None:
        """Does nothing: this class never reads half-written data."""

    def close(self) -> None:
        """Close the table."""
        with self._lock:
            self._db.close()

    def _connect(self, file: Path) -> sqlite3.Connection:
        seconds = 0 if self._alone else 60
        db = sqlite3.connect(file, timeout=seconds, check_same_thread=False, isolation_level=None)
        deadline = time.monotonic() + seconds
        while True:
            try:
                with kept_alone(db, self._alone):
                    db.executescript(_TABLES)
                db.execute("SELECT count(*) FROM packs").fetchone()
                return db
            except sqlite3.DatabaseError as error:
                # Turning WAL on takes a lock for which SQLite does not wait.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    db.close()
                    raise
                time.sleep(0.05)


class ReadOnlyIndex:
    """The same for readers: it writes nothing, not even SQLite's files beside the table.

    The table is read as it is on the disk (`immutable`: without locks, and without a WAL that has not been
    merged yet), so it works on a read-only disk and may be outdated. What it lacks is read from the packs
    and kept in memory. An image never moves, so its entries are correct; if a page was read while it was
    being written, the table is ignored and everything is read from the packs.
    """

    def __init__(self, file: Path):
        self._file = file
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._places: dict[str, Place] = {}
        self._db: sqlite3.Connection | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the table again; entries that it has by now are removed from memory."""
        uri = f"{self._file.absolute().as_uri()}?mode=ro&immutable=1"
        with self._lock:
            self._leave_table()
            try:
                self._db = sqlite3.connect(uri, uri=True, check_same_thread=False)
                known = dict(self._db.execute("SELECT name, size FROM packs").fetchall())
            except sqlite3.DatabaseError:  # missing, empty or broken
                self._leave_table()
                return
            for pack in [pack for pack in self._sizes if known.get(pack) == self._sizes[pack]]:
                del self._sizes[pack]
            self._places = {s: p for s, p in self._places.items() if p.pack in self._sizes}

    def find(self, sha256: str) -> Place | None:
        """The location of an image, or None."""
        if place := self._places.get(sha256):
            return place
        with self._lock:
            if self._db is None:
                return None
            try:
                return _find(self._db, sha256)
            except sqlite3.DatabaseError:
                self._leave_table()
                return None

    def count(self) -> int:
        """The number of known images."""
        alone = sum(1 for sha256 in self._places if not self._in_table(sha256))
        with self._lock:
            if self._db is None:
                return alone
            return alone + int(self._db.execute("SELECT count(*) FROM images").fetchone()[0])

    def packs(self) -> dict[str, int]:
        """Pack -> the size of its file when it was read."""
        with self._lock:
            if self._db is None:
                return dict(self._sizes)
            try:
                known = dict(self._db.execute("SELECT name, size FROM packs").fetchall())
            except sqlite3.DatabaseError:
                self._leave_table()
                known = {}
            return {**known, **self._sizes}

    def learn(self, pack: str, size: int, places: Sequence[tuple[str, Place]]) -> None:
        """Add a pack's images."""
        with self._lock:
            self._sizes[pack] = size
            for sha256, place in places:
                self._places.setdefault(sha256, place)

    def forget(self, pack: str) -> None:
        """Remove a missing pack's images; the table, which cannot be updated, is ignored from now on."""
        with self._lock:
            self._leave_table()
            self._sizes.pop(pack, None)
            self._places = {s: p for s, p in self._places.items() if p.pack != pack}

    def leave_table(self) -> None:
        """Ignore the table until `refresh`."""
        with self._lock:
            self._leave_table()

    def close(self) -> None:
        """Close the table."""
        self.leave_table()

    def _in_table(self, sha256: str) -> bool:
        with self._lock:
            return self._db is not None and _find(self._db, sha256) is not None

    def _leave_table(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _find(db: sqlite3.Connection, sha256: str) -> Place | None:
    try:
        key = bytes.fromhex(sha256)
    except ValueError:
        return None
    row = db.execute(
        "SELECT pack, offset, length, width, height, format, phash FROM images WHERE sha256 = ?",
        (key,),
    ).fetchone()
    if row is None:
        return None
    pack, offset, length, width, height, format, phash = row
    return Place(pack, offset, length, ImageInfo(width, height, format, length, phash % 2**64))
