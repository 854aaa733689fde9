"""The process between vlt and a server that it started: ends the server's processes when vlt is gone.

    python -m vlt.engine.keeper

The first line on standard input is JSON: the command, its environment, and how long it may take to end. Each
further line means that the server has loaded its model. End of file means that vlt has stopped the server or
was killed. A parent-death signal alone would not do: it reaches the server but not the processes of its
engine, and it is tied to the thread that started the server rather than to the process.

A detached keeper is not a child of the process that started it: Ray kills a worker's children by SIGKILL.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from vlt.engine.shared_memory import remove, segments

CHECK_MILLISECONDS = 250
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Start the server, print its process id as JSON, and run as long as it does."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    with open(0, "rb", buffering=0, closefd=False) as pipe:  # so that `poll` sees later lines
        line = pipe.readline()
    if not line:
        return
    asked = json.loads(line)
    if asked["detached"] and os.fork():
        os._exit(0)
    try:
        child = subprocess.Popen(
            asked["command"],
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            env=asked["environment"],
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        print(json.dumps({"error": error.strerror}), flush=True)
        return
    print(json.dumps({"keeper": os.getpid(), "server": child.pid}), flush=True)
    shared: set[Path] = set()
    while child.poll() is None and not told and _is_wanted(child.pid, shared):
        pass
    _end(child, asked["stop_seconds"], shared)


def _is_wanted(group: int, shared: set[Path]) -> bool:
    """Whether the pipe is still open; at a line from it, note the shared memory in use."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if not poll.poll(CHECK_MILLISECONDS):
        return True
    if not os.read(0, 4096):
        return False
    shared |= segments(group)
    return True


def _end(child: subprocess.Popen[bytes], seconds: float, shared: set[Path]) -> None:
    """End the whole process group (SIGTERM, then after a while SIGKILL) and free its shared memory."""
    shared |= segments(child.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    remove(shared)


def _die_with_parent() -> None:
    """In the child: the kernel ends it when the keeper dies, even by kill -9 (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()
