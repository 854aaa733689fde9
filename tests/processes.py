"""Processes that a test kills: their children, and waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def child_of(pid: int) -> int:
    """The one child of a process."""
    import psutil

    [child] = psutil.Process(pid).children()
    return int(child.pid)


def alive(pid: int) -> bool:
    """Whether it still runs."""
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def line_of(process: Any) -> str:
    """The command line of a psutil.Process; "" once it has ended."""
    import psutil

    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # or a zombie
        return ""


def wait_for(ready: Callable[[], object], seconds: float = 90) -> None:
    """Wait until `ready` says so."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
