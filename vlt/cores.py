"""How many cores a stage may use at once: one setting, for all stages that read and write rows.

    VLT_PROCESSES=4 vlt filter --verify        or, for one command, vlt filter --verify --processes 4

By default all cores that this process may use, by its affinity (taskset, Slurm) and its cgroup's quota
(containers). With 1, a stage uses one thread of one process.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from vlt.errors import UsageError

VARIABLE = "VLT_PROCESSES"
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def processes() -> int:
    """Maximum processes of a stage, this one included: VLT_PROCESSES, else `usable_cores`.

    Raises UsageError if the variable is not a number above 0.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return usable_cores()
    try:
        number = int(given)
    except ValueError:
        number = 0
    if number < 1:
        raise UsageError(
            f"{VARIABLE}={given!r} is not a number of processes; give at least 1, or unset it"
        )
    return number


def usable_cores() -> int:
    """The number of cores that the kernel lets this process use, at least 1."""
    known = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    quota = _quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _quota() -> float | None:
    """Cores that the cgroup may use, by the lowest limit of it and its parents; None for no limit."""
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        return None
    limits: list[float] = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUPS / "cpu" if controllers else CGROUPS
        for folder in (root / place.lstrip("/"), *(root / place.lstrip("/")).parents):
            limits += _limit(folder)
            if folder == root:
                break
    return min(limits, default=None)


def _limit(folder: Path) -> list[float]:
    """The quota of a cgroup's folder, in cores, for cgroup version 2 or 1; empty if it has none."""
    try:
        if (file := folder / "cpu.max").exists():
            quota, period = file.read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return [int(quota) / int(period)] if quota not in ("max", "-1") else []
    except (OSError, ValueError):  # no quota is set
        return []
