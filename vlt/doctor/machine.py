"""The machine: Python, cores and memory, GPUs, the workspace's disk."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlt.cores import usable_cores
from vlt.doctor.finding import Finding, broken, ok, warning
from vlt.shared_disk import MOUNTS, file_system, is_shared

GIB = 1 << 30
ROOM = 20 * GIB
"""Free disk space below which there is a warning: a model or two no longer fit."""
FULL = GIB // 2
"""Free disk space below which the next step cannot finish."""
MEMORY = 8 * GIB
"""Free memory below which a model in this process may be killed; the demo takes 3 GB."""
OLDEST = (3, 11)
GPU_FILES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg")
"""Device files of NVIDIA's driver, of AMD's, and of WSL."""
CHILD_SECONDS = 60
ASK_TORCH = """
import json
try:
    import torch
    devices = []
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            p = torch.cuda.get_device_properties(i)
            torch.zeros(8, device=i).sum().item()
            devices.append({"name": p.name, "memory": p.total_memory})
    found = {"version": torch.__version__, "built": torch.version.cuda or torch.version.hip,
             "devices": devices}
except Exception as error:
    found = {"error": f"{type(error).__name__}: {error}"}
print("\\n" + json.dumps(found))
"""


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    """The interpreter that runs vlt."""
    named = ".".join(map(str, version))
    if version < OLDEST:
        yield broken("Python", f"{named} is too old", "install Python 3.11 or newer")
    else:
        yield ok("Python", f"{named}, {sys.executable}")


def memory(total: int | None = None, free: int | None = None) -> Iterator[Finding]:
    """Cores, and total and free memory in bytes."""
    if total is None or free is None:
        total, free = _memory()
    cores = usable_cores()
    if total is None or free is None:
        yield ok("memory", f"{cores} cores")
        return
    says = f"{_gib(free)} of {_gib(total)} free, {cores} cores"
    if free < MEMORY:
        do = "close other programs, or use models on another machine (--base-url)"
        yield warning("memory", says, do)
    else:
        yield ok("memory", says)


def gpu(devices: Sequence[str] | None = None) -> Iterator[Finding]:
    """GPUs, and whether torch can use them; torch is imported in a separate process.

    `devices` are the GPUs' device files, by default those of this machine.
    """
    if devices is None:
        devices = [found for pattern in GPU_FILES for found in glob.glob(pattern)]
    if not devices:
        if sys.platform == "darwin":
            yield ok("GPU", "none with CUDA; torch uses Apple's (MPS) if there is one")
            return
        says = "none; training large models needs one, the demo and models on a server do not"
        yield warning("GPU", says)
        return
    found = _asked_torch()
    if "error" in found:
        do = "reinstall torch: https://pytorch.org/get-started/locally"
        yield broken("GPU", f"torch cannot use it ({found['error']})", do)
    elif found["devices"]:
        each = [f"{d['name']}, {_gib(d['memory'])}" for d in found["devices"]]
        yield ok("GPU", f"{'; '.join(each)} (torch built for {found['built']})")
    elif found["built"] is None:
        do = "install a build for your GPU: https://pytorch.org/get-started/locally"
        yield broken("GPU", f"{devices[0]} exists, but torch {found['version']} is for CPUs", do)
    else:
        do = "check that `nvidia-smi` (or `rocm-smi`) works, and update the driver or install an older torch"
        says = f"{devices[0]} exists, but torch {found['version']} ({found['built']}) sees no GPU"
        yield broken("GPU", says, do)


def disk(workspace: Path, free: int | None = None, mounts: Path = MOUNTS) -> Iterator[Finding]:
    """Free space and file system where the workspace is or would be; nothing is created there."""
    there = _nearest(workspace)
    if not there.is_dir():
        yield broken("workspace", f"{str(there)!r} is a file", "name another with -w")
        return
    if not os.access(there, os.W_OK):
        do = "name another workspace with -w, or fix its permissions (reading still works)"
        yield broken("workspace", f"{str(there)!r} cannot be written", do)
    free = shutil.disk_usage(there).free if free is None else free
    kind = file_system(there, mounts)
    on = f" ({kind})" if kind else ""
    says = f"{_gib(free)} free in {str(there)!r}{on}"
    if free < FULL or not _can_hold_files(there):
        yield broken("disk", says, "free some space, or name another workspace with -w")
    elif free < ROOM:
        do = "checkpoints take twice a model's size; free some space, or name another workspace"
        yield warning("disk", says, do)
    else:
        yield ok("disk", says)
    if kind and is_shared(kind):
        yield warning(
            "file system",
            f"{kind} is shared by hosts, so only one process at a time can use the journal",
            "if several are to ask models at once, set VLT_JOURNAL to a file on a local disk",
        )


def _memory() -> tuple[int | None, int | None]:
    """(total, free) bytes available to this process: a container's limit counts."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None, None
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines)}
    total = kilobytes["MemTotal"] * 1024
    free = kilobytes.get("MemAvailable", kilobytes["MemFree"]) * 1024
    limit, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    if limit is not None and limit < total:
        total, free = limit, min(free, limit - (used or 0))
    return total, max(0, free)


def _number(file: str) -> int | None:
    try:
        return int(Path(file).read_text())
    except (OSError, ValueError):  # no such file, or it contains "max"
        return None


def _asked_torch() -> dict[str, Any]:
    """What torch reports about this machine's GPUs."""
    command = [sys.executable, "-c", ASK_TORCH]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CHILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"its import did not finish within {CHILD_SECONDS} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        words = done.stderr.strip().splitlines() or [f"it exited with {done.returncode}"]
        return {"error": words[-1][:200]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _can_hold_files(path: Path) -> bool:
    """False if the file system has no inodes left."""
    try:
        state = os.statvfs(path)
    except OSError as error:
        return error.errno != errno.ENOSPC
    return state.f_files == 0 or state.f_favail > 0  # some file systems do not count inodes


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f} GiB"
