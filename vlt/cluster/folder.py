"""A folder on the disk that all nodes share, for what tasks and the command hand to each other."""

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
"""The file in it that its command keeps locked, on whichever host it runs."""
ABANDONED_AFTER = 60.0
"""Seconds after which a folder that nobody holds is taken for a killed command's."""


@contextmanager
def task_folder(beside: Path) -> Iterator[Path]:
    """A new folder in `beside`, gone when the body ends; those of commands that were killed go, too.

    Raises UserError where `beside` cannot be written.
    """
    _remove_abandoned(beside)
    folder = beside.absolute() / f"{NAME}{uuid4().hex[:16]}"
    try:
        folder.mkdir(parents=True)
        held = open(folder / HELD, "wb")  # noqa: SIM115
    except OSError as error:
        raise UserError(
            f"{str(beside)!r} cannot be written ({error.strerror}), and the nodes of a Ray cluster hand "
            "over there what they make; leave out --ray"
        ) from error
    try:
        flock(held, fcntl.LOCK_EX)
        yield folder
    finally:
        held.close()  # before it goes: NFS keeps a file that is open under another name
        # A task whose node was taken for lost may still lay something there: then a later command
        # removes it.
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(beside: Path) -> None:
    for folder in beside.glob(f"{NAME}*"):
        with suppress(FileNotFoundError), open(folder / HELD, "rb+") as held:
            try:
                flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its command lives
            if time.time() - (folder / HELD).stat().st_mtime > ABANDONED_AFTER:
                shutil.rmtree(folder, ignore_errors=True)
