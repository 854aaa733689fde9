"""What a command costs: wall time, CPU and peak memory, including all processes that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK = 0.2
"""Seconds between two samples of its processes and what they have used."""


@dataclass(frozen=True)
class Cost:
    """What running something cost."""

    seconds: float
    cpu: float
    """Seconds of all its processes."""
    megabytes: float
    """The sum of the processes' peaks (VmHWM): an upper bound of what they used at once."""


def run_measured(
    command: Sequence[str], environment: Mapping[str, str], *, quiet: bool = False
) -> Cost:
    """Run a command to completion, and exit if it fails. A `quiet` one prints nothing."""
    started = time.perf_counter()
    before = os.times()
    stdout = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=stdout)
    peaks: dict[int, int] = {}
    while process.poll() is None:
        for pid in _with_children(process.pid):
            peaks[pid] = max(peaks.get(pid, 0), _peak(pid))
        time.sleep(LOOK)
    seconds, after = time.perf_counter() - started, os.times()
    if process.returncode:
        sys.exit(f"{' '.join(command)} exited with {process.returncode}")
    cpu = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return Cost(seconds, cpu, sum(peaks.values()) / 1024)


def _with_children(pid: int) -> list[int]:
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += _with_children(int(child))
    except (FileNotFoundError, ProcessLookupError):
        return found  # it has exited
    return found


def _peak(pid: int) -> int:
    """VmHWM in kB; 0 if the process has exited."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
