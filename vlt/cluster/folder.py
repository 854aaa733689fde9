"""A folder on the disk that all nodes share, through which tasks return their results."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from vlt.errors import UserError
from vlt.shared_disk import flock

NAME = ".tasks-"
HELD = "held"
"""The file in it that its command keeps locked, on whatever host it runs."""
ABANDONED_AFTER = 60.0
"""Seconds after which an unlocked folder is considered left by a killed command."""


@contextmanager
def task_folder(beside: Path) -> Iterator[Path]:
    """A temporary folder in `beside`; also removes those that killed commands left there.

    Raises UserError if `beside` is not writable.
    """
    _remove_abandoned(beside)
    folder = beside.absolute() / f"{NAME}{uuid4().hex[:16]}"
    try:
        folder.mkdir(parents=True)
        held = open(folder / HELD, "wb")  # noqa: SIM115
    except OSError as error:
        raise UserError(
            f"cannot write to {str(beside)!r} ({error.strerror}), where the nodes of the Ray cluster put "
            "their results; make it writable or omit --ray"
        ) from error
    try:
        flock(held, fcntl.LOCK_EX)
        yield folder
    finally:
        held.close()  # first: NFS keeps an open file under another name
        # A task of a node considered lost may still write there: then a later command removes it.
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(beside: Path) -> None:
    for folder in beside.glob(f"{NAME}*"):
        with suppress(FileNotFoundError), open(folder / HELD, "rb+") as held:
            try:
                flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its command is running
            if time.time() - (folder / HELD).stat().st_mtime > ABANDONED_AFTER:
                shutil.rmtree(folder, ignore_errors=True)
