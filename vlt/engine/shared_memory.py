"""Shared memory that a server leaves behind: vLLM's processes map segments and do not remove them.

Each start leaves two in /dev/shm, which has 64 MB in a container by default; a run starts a
server for every step that needs one. Linux only; elsewhere there is nothing to remove.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

_SEGMENT = re.compile(r"/dev/shm/psm_\w+")
"""As Python's multiprocessing names them."""


def segments(group: int) -> set[Path]:
    """The segments that the processes of a process group have mapped."""
    found: set[Path] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            if os.getpgid(int(maps.parent.name)) == group:
                found.update(map(Path, _SEGMENT.findall(maps.read_text())))
    return found


def remove(found: Iterable[Path]) -> None:
    """Remove those that still exist, after their processes have ended."""
    for segment in found:
        segment.unlink(missing_ok=True)
