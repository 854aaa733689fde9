"""Is a folder on a disk that several hosts share (NFS, Lustre, GPFS ...)?

There SQLite's WAL cannot be used as elsewhere: its processes meet in shared memory, which hosts do not
have in common. Locks of files hold between hosts and renames are atomic, so versions need nothing else.
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
"""File systems that several hosts share, as the kernel calls them."""
SHARED_FUSE = "sshfs juicefs gcsfuse s3fs glusterfs ceph mountpoint-s3 goofys rclone".split()
"""As these are called behind `fuse.`."""
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What a lock fails with where the disk was mounted without them."""


def shared_by_hosts(path: Path) -> str | None:
    """The kind of the file system, where it is one that hosts share; None where it is not, or nobody
    knows. What does not exist yet lies where the folder above it does."""
    kind = file_system(path)
    return kind if kind and is_shared(kind) else None


@contextmanager
def kept_alone(db: sqlite3.Connection, alone: object) -> Iterator[None]:
    """Around the first look at a database: with `alone` this connection keeps its lock from then on.

    Said before that look, WAL needs no memory that processes share.
    """
    if alone:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
    yield
    if alone:
        db.executescript("BEGIN EXCLUSIVE; COMMIT")  # the lock stays


def file_system(path: Path, mounts: Path | None = None) -> str | None:
    """The kind of the file system that a path lies on, where the system tells."""
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
        )  # a blank is \040
        if real.is_relative_to(at) and len(at) >= best:  # of two at one place the later is seen
            best, kind = len(at), found
    return kind


def is_shared(kind: str) -> bool:
    """Whether hosts share disks of this kind."""
    name = kind.removeprefix("fuse.")
    return kind in SHARED or (name != kind and name in SHARED_FUSE)


def flock(opened: IO[Any], how: int) -> None:
    """`fcntl.flock`; raises UserError where the disk was mounted without locks.

    Linux keeps such a lock between the hosts of an NFS, and Lustre does where it is mounted for it.
    """
    try:
        fcntl.flock(opened, how)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise UserError(
            f"{str(opened.name)!r} cannot be locked: its disk ({file_system(Path(opened.name))}) keeps no "
            "locks; mount it with them (Lustre: -o flock; NFS: without nolock), or name another "
            "workspace with -w"
        ) from None
