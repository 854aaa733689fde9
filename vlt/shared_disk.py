"""Is a folder on a file system shared by several hosts (NFS, Lustre, GPFS ...)?

There SQLite's WAL does not work as usual: processes coordinate through shared memory, which hosts do not
share. File locks work between hosts and renames are atomic, so versions need nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vlt.errors import UserError

MOUNTS = Path("/proc/self/mounts")
SHARED = (
    "nfs nfs4 lustre gpfs cifs smb3 smbfs beegfs ceph glusterfs afs panfs wekafs orangefs pvfs2 ocfs2 gfs2"
).split()
"""File systems shared by hosts, by their kernel names."""
SHARED_FUSE = "sshfs juicefs gcsfuse s3fs glusterfs ceph mountpoint-s3 goofys rclone".split()
"""The same for FUSE, by the name after `fuse.`."""
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""The errors of a lock on a disk mounted without locks."""


def shared_by_hosts(path: Path) -> str | None:
    """The type of the file system if it is shared by hosts; None if it is not, or unknown. For a path that
    does not exist yet, its closest existing parent counts."""
    kind = file_system(path)
    return kind if kind and is_shared(kind) else None


@contextmanager
def kept_alone(db: sqlite3.Connection, alone: object) -> Iterator[None]:
    """Around the first access to a database: with `alone` this connection keeps its lock from then on.

    Set before the first access, this lets WAL work without shared memory.
    """
    if alone:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
    yield
    if alone:
        db.executescript("BEGIN EXCLUSIVE; COMMIT")  # the lock stays


def file_system(path: Path, mounts: Path | None = None) -> str | None:
    """The type of the file system of a path, if the system reports it."""
    try:
        lines = (mounts or MOUNTS).read_text().splitlines()
    except OSError:
        return None
    real = path.absolute()
    while not real.exists() and real != real.parent:
        real = real.parent
    real = real.resolve()
    best, kind = -1, None
    for line in lines:
        _, written, found, *_ = line.split()
        at = re.sub(
            r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), written
        )  # a space is \040
        if (
            real.is_relative_to(at) and len(at) >= best
        ):  # of two mounts at one path the later counts
            best, kind = len(at), found
    return kind


def is_shared(kind: str) -> bool:
    """Whether file systems of this type are shared by hosts."""
    name = kind.removeprefix("fuse.")
    return kind in SHARED or (name != kind and name in SHARED_FUSE)


def flock(opened: IO[Any], how: int) -> None:
    """`fcntl.flock`; raises UserError if the disk is mounted without locks.

    On Linux such locks work between hosts on NFS, and on Lustre if it is mounted with them.
    """
    try:
        fcntl.flock(opened, how)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise UserError(
            f"{str(opened.name)!r} cannot be locked: its disk ({file_system(Path(opened.name))}) does not "
            "support locks; mount it with them (Lustre: -o flock; NFS: without nolock), or name another "
            "workspace with -w"
        ) from None
