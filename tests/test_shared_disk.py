"""A workspace on a disk that hosts share, pretended: the journal, the index of images, locks."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.rows import dataset, item
from tests.test_journal import completion
from tests.test_near_images import chart, encoded
from vlt import shared_disk
from vlt.errors import UserError
from vlt.images.index import ReadOnlyIndex
from vlt.images.store import ImageStore
from vlt.shared_disk import file_system, shared_by_hosts
from vlt.workspace.journal import Journal
from vlt.workspace.store import Store
from vlt.workspace.workspace import Workspace


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of which the system says that it lies on Lustre."""
    folder = tmp_path / "on a shared disk"
    folder.mkdir()
    mounts = tmp_path / "mounts"
    at = str(folder.resolve()).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\n10.0.0.1@tcp:/fs {at} lustre rw,flock 0 0\n")
    monkeypatch.setattr(shared_disk, "MOUNTS", mounts)
    return folder


@pytest.mark.parametrize(
    ("lines", "kind", "is_shared"),
    [
        ("/dev/sda / ext4 rw 0 0", "ext4", False),
        ("/dev/sda / ext4 rw 0 0\nserver:/x {at} nfs4 rw 0 0", "nfs4", True),
        ("server:/x / nfs rw 0 0\ntmpfs {at} tmpfs rw 0 0", "tmpfs", False),
        ("server:/x {at}x nfs rw 0 0\n/dev/sda / xfs rw 0 0", "xfs", False),
        ("/dev/sda / ext4 rw 0 0\ngpfs0 {at} gpfs rw 0 0\nt {at} tmpfs rw 0 0", "tmpfs", False),
        ("/dev/sda / ext4 rw 0 0\nhost:/x {at} fuse.sshfs rw 0 0", "fuse.sshfs", True),
        ("/dev/sda / ext4 rw 0 0\nx {at} fuse.gvfsd rw 0 0", "fuse.gvfsd", False),
        ("", None, False),
    ],
)
def test_the_mount_that_is_seen_counts(
    lines: str, kind: str, is_shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a b"
    place.mkdir()
    (tmp_path / "mounts").write_text(
        lines.replace("{at}", str(place.resolve()).replace(" ", "\\040"))
    )
    monkeypatch.setattr(shared_disk, "MOUNTS", tmp_path / "mounts")
    assert file_system(place / "not" / "there yet") == kind
    assert (shared_by_hosts(place) is not None) == is_shared


def test_where_nobody_tells_it_is_taken_for_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_disk, "MOUNTS", tmp_path / "none")
    assert shared_by_hosts(tmp_path) is None


OTHER = """
import sys, time
from pathlib import Path
from vlt import shared_disk
from vlt.errors import UserError
from tests.test_journal import completion
shared_disk.MOUNTS = Path(sys.argv[1])
from vlt.workspace.journal import Journal
try:
    journal = Journal(sys.argv[2])
except UserError as error:
    sys.exit(str(error))
journal.put(completion(int(sys.argv[3])))
print("held", flush=True)
time.sleep(60)
"""


def other(shared: Path, key: int) -> subprocess.Popen[str]:
    """Another process that opens the journal, puts an answer and stays."""
    command = [sys.executable, "-c", OTHER, shared.parent / "mounts", shared / "journal.sqlite"]
    return subprocess.Popen(
        [*command, str(key)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_one_process_has_the_journal_and_the_next_is_told(shared: Path) -> None:
    journal = Journal(shared / "journal.sqlite")
    journal.put(completion(1))
    assert not (shared / "journal.sqlite-shm").exists(), "no memory that processes share"
    refused = other(shared, 2)
    _, said = refused.communicate(timeout=60)
    assert said.strip() == (
        f"journal {str(shared / 'journal.sqlite')!r} is on a disk shared by hosts (lustre) and in use "
        "by another vlt, here or on another host; wait for it, or set VLT_JOURNAL to a file on a local "
        "disk"
    )
    journal.close()


def test_an_answer_outlives_the_one_who_is_killed(shared: Path) -> None:
    holder = other(shared, 7)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="wait for it, or set VLT_JOURNAL"):
        Journal(shared / "journal.sqlite")
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    journal = Journal(shared / "journal.sqlite")
    assert journal.get(completion(7).key, [0]) == {0: completion(7)}
    journal.close()


def test_a_local_journal_serves_several(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLT_JOURNAL", str(tmp_path / "local" / "journal.sqlite"))
    with Workspace(shared / "w") as one, Workspace(shared / "w") as two:
        one.journal.put(completion(1))
        two.journal.put(completion(2))
        assert one.journal.count() == 2
    assert not (shared / "w" / "journal.sqlite").exists()


def test_two_may_add_images_at_once(shared: Path) -> None:
    folder = shared / "images"
    pictures = [encoded(chart([n, 95 - n])) for n in (10, 20, 30)]
    with ImageStore(folder) as first, ImageStore(folder) as second:
        assert isinstance(second._index, ReadOnlyIndex), "the first has the table"
        names = [first.add(pictures[0]), second.add(pictures[1])]
        first.flush()
        second.flush()
        for store in (first, second):
            assert [store.read(name) for name in names] == pictures[:2]
        names.append(second.add(pictures[2]))
    assert not (folder / "index.sqlite-shm").exists()
    with ImageStore(folder) as third:
        assert not isinstance(third._index, ReadOnlyIndex)
        assert [third.read(name) for name in names] == pictures
    with ImageStore(folder, read_only=True) as looking:
        assert [looking.read(name) for name in names] == pictures


def test_the_lock_says_where_its_holder_is(shared: Path) -> None:
    store = Store(shared / "w")
    with (
        store.lock("items", "item"),
        pytest.raises(UserError, match=f"process {os.getpid()} on {socket.gethostname()}"),
        Store(shared / "w").lock("items", "item"),
    ):
        pass


def test_a_disk_without_locks_is_told(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match=r"\(lustre\) does not support locks; mount it with them"):
        dataset(Store(shared / "w"), "items", "item", [item()])
