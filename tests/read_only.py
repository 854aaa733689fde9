"""A read-only folder, and `vlt` run as a process that permissions apply to, even under root."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make everything under the folder read-only during the body."""
    everything = [folder, *folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in everything}
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def run_without_override(
    *arguments: object, cwd: Path, module: str | None = "vlt"
) -> subprocess.CompletedProcess[str]:
    """`vlt ARGUMENTS`, or another module's or Python's, as a process that permissions hold for."""
    return subprocess.run(
        [sys.executable, *(["-m", module] if module else []), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(sys.path[1:])},
        preexec_fn=drop_override,
        timeout=300,
        check=False,
    )


def drop_override() -> None:
    """Drop the capability by which root overrides permissions, for processes started from here."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(
        PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
    ):
        raise OSError(ctypes.get_errno(), "prctl")


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Path -> (size, time of the last change) of all that lies under the folder."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        stat = path.stat()
        found[str(path.relative_to(folder))] = (stat.st_size, stat.st_mtime_ns)
    return found
