"""Shared memory that a server leaves behind: vLLM's processes map segments and do not remove them.

Each start leaves two in /dev/shm, of 64 MB in a container unless it says otherwise; a run starts a
server for every step that asks one. Linux alone; elsewhere there is nothing to find.
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
    """Those that the processes of a process group have mapped."""
    found: set[Path] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if os.getpgid(int(maps.parent.name)) == group:
                found.update(map(Path, _SEGMENT.findall(maps.read_text())))
    return found


def remove(found: Iterable[Path]) -> None:
    """Remove those that are still there, when their processes have ended."""
    for segment in found:
        segment.unlink(missing_ok=True)
