"""sha256 -> where an image lies: a SQLite table beside the packs."""

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
    """Where an image's bytes lie, and what it is."""

    pack: str
    offset: int
    length: int
    info: ImageInfo


class IndexTaken(Exception):
    """Another process has the table, on a disk that hosts share."""


class Index:
    """The table; several processes may hold it open, and threads may share one."""

    def __init__(self, file: Path):
        self._file = file
        self._lock = threading.Lock()
        self._alone = shared_by_hosts(file.parent) is not None
        """One process at a time has the table: WAL's memory is not shared between hosts."""
        try:
            self._db = self._connect(file)
        except sqlite3.DatabaseError as error:
            if self._alone and "locked" in str(error):
                raise IndexTaken(str(file)) from error
            if isinstance(error, sqlite3.OperationalError):  # locked, no room, no permission
                raise UserError(
                    f"{str(file)!r} cannot be opened ({error}); see that its folder can be written"
                ) from error
            for ending in ("", "-wal", "-shm"):  # broken: it is made again from the packs
                file.with_name(file.name + ending).unlink(missing_ok=True)
            self._db = self._connect(file)

    def find(self, sha256: str) -> Place | None:
        """Where an image lies, or None."""
        with self._lock:
            return _find(self._db, sha256)

    def count(self) -> int:
        """How many images it knows."""
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM images").fetchone()[0])

    def packs(self) -> dict[str, int]:
        """Pack -> the size of its file when it was read."""
        with self._lock:
            return dict(self._db.execute("SELECT name, size FROM packs").fetchall())

    def learn(self, pack: str, size: int, places: Sequence[tuple[str, Place]]) -> None:
        """Take in a pack's images; those that another pack holds already stay where they are."""
        rows = [
            (
                bytes.fromhex(sha256),
                place.pack,
                place.offset,
                place.length,
                place.info.width,
                place.info.height,
                place.info.format,
                place.info.phash - 2**64 * (place.info.phash >= 2**63),  # SQLite has signed ones
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
        """A pack is gone: so are its images, unless another pack that is read again holds them."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM images WHERE pack = ?", (pack,))
            self._db.execute("DELETE FROM packs WHERE name = ?", (pack,))
            # A copy in another pack was ignored when that was read: have them all read again.
            self._db.execute("UPDATE packs SET size = -1")

    def refresh(self) -> None:
        """See what others have changed: SQLite does that by itself."""

    def leave_table(self) -> None:
        """Nothing: what this one reads is never half written."""

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
                # To turn WAL on takes a lock that SQLite does not wait for.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    db.close()
                    raise
                time.sleep(0.05)


class ReadOnlyIndex:
    """The same for those who only look: it writes nothing, not even SQLite's files beside the table.

    The table is read as it lies on the disk (`immutable`: no lock, and no WAL that a writer has not
    folded in yet), so it works on a read-only disk and may be behind. What it lacks is learnt from the
    packs and kept in memory. An image never moves, so what it does know is right; where a page was
    read while it was written, the table is left alone and all is learnt from the packs.
    """

    def __init__(self, file: Path):
        self._file = file
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._places: dict[str, Place] = {}
        self._db: sqlite3.Connection | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the table anew; what it has come to know need not be kept here."""
        uri = f"{self._file.absolute().as_uri()}?mode=ro&immutable=1"
        with self._lock:
            self._leave_table()
            try:
                self._db = sqlite3.connect(uri, uri=True, check_same_thread=False)
                known = dict(self._db.execute("SELECT name, size FROM packs").fetchall())
            except sqlite3.DatabaseError:  # none there, nothing in it yet, broken
                self._leave_table()
                return
            for pack in [pack for pack in self._sizes if known.get(pack) == self._sizes[pack]]:
                del self._sizes[pack]
            self._places = {s: p for s, p in self._places.items() if p.pack in self._sizes}

    def find(self, sha256: str) -> Place | None:
        """Where an image lies, or None."""
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
        """How many images it knows."""
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
        """Take in a pack's images."""
        with self._lock:
            self._sizes[pack] = size
            for sha256, place in places:
                self._places.setdefault(sha256, place)

    def forget(self, pack: str) -> None:
        """A pack is gone: the table, which may know of its images alone, is of no use any more."""
        with self._lock:
            self._leave_table()
            self._sizes.pop(pack, None)
            self._places = {s: p for s, p in self._places.items() if p.pack != pack}

    def leave_table(self) -> None:
        """Know only what was learnt from packs, until `refresh`."""
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
