"""The last tier, parent's side: ask a worker process whether two expressions are equal.

The worker is started when first needed, as a fresh interpreter (not forked: the parent may use
torch and threads), stays alive for the next question, and is killed and replaced if it is late or
dies. The parent enforces the deadline with `poll`, without signals.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from fractions import Fraction
from typing import Any

from vlt.grade.tokens import Tree
from vlt.worker_process import module_path, pipe_of

MEMORY_MB = 400
START_SECONDS = 60.0
QUESTIONS = 2000
"""A worker is replaced after this many questions (caches grow)."""
REMEMBERED = 4096


class Late(Exception):
    """The worker did not answer in time, or died."""


class Worker:
    """One worker process and the pipe to it. Not thread-safe."""

    def __init__(self, role: str):
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vlt.grade.worker", role, str(MEMORY_MB)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": module_path()},
            start_new_session=True,  # the parent handles Ctrl-C in the terminal
        )
        self.asked = 0
        try:
            if self._receive(START_SECONDS) != "ready":
                raise Late
        except Late:
            self.kill()
            raise

    def ask(self, question: Any, seconds: float) -> Any:
        """The answer to one question; after `seconds`, kills the worker and raises Late."""
        self.asked += 1
        try:
            data = json.dumps(question).encode()
            pipe_of(self.process.stdin).write(struct.pack(">I", len(data)) + data)
            return self._receive(seconds)
        except (Late, OSError) as error:
            self.kill()
            raise Late from error

    def _receive(self, seconds: float) -> Any:
        end = time.monotonic() + seconds
        (size,) = struct.unpack(">I", self._read(4, end))
        return json.loads(self._read(size, end))

    def _read(self, size: int, end: float) -> bytes:
        pipe = pipe_of(self.process.stdout)
        poll = select.poll()
        poll.register(pipe, select.POLLIN | select.POLLHUP)
        data = b""
        while len(data) < size:
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise Late
            piece = os.read(pipe.fileno(), size - len(data))
            if not piece:
                raise Late
            data += piece
        return data

    def kill(self) -> None:
        """End the process at once; harmless if it is already dead."""
        with contextlib.suppress(OSError):
            self.process.kill()
            self.process.wait()
        self.forget()

    def forget(self) -> None:
        """Close this process's ends of the pipes (in a forked child, which does not own the worker)."""
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe_of(pipe).close()
        if self.process.returncode is None:
            self.process.returncode = 0  # so that the child of a fork does not wait for it


_lock = threading.Lock()
_worker: Worker | None = None
_known: OrderedDict[tuple[Tree, Tree], bool] = OrderedDict()


def equal(a: Tree, b: Tree, deadline: float = 1.0) -> bool | None:
    """Whether two trees are equal; None if undecided within `deadline` seconds."""
    global _worker
    with _lock:
        if (a, b) in _known:
            return _known[a, b]
        question = {"a": _plain(a), "b": _plain(b)}
        for _ in range(2):
            try:
                fresh = _worker is None or _worker.asked >= QUESTIONS
                if fresh:
                    if _worker is not None:
                        _worker.kill()
                    _worker = None
                    _worker = Worker("equal")
                assert _worker is not None
                began = time.monotonic()
                answer = _worker.ask(question, deadline)
            except Late:
                _worker = None
                if fresh or time.monotonic() - began >= deadline:
                    return None
                continue  # an old worker may have died of earlier questions: ask a fresh one again
            if answer is not None:
                _known[a, b] = answer
                if len(_known) > REMEMBERED:
                    _known.popitem(last=False)
            return bool(answer) if answer is not None else None
        return None


def _plain(tree: Any) -> Any:
    """A tree as JSON: fractions as text."""
    if isinstance(tree, Fraction):
        return f"{tree.numerator}/{tree.denominator}"
    return [_plain(part) for part in tree] if isinstance(tree, tuple) else tree


def close() -> None:
    """End the worker; the next question starts another."""
    global _worker
    with _lock:
        if _worker is not None:
            _worker.kill()
        _worker = None


def _after_fork() -> None:
    """In a forked child: a new lock (the parent's may be held) and no worker."""
    global _lock, _worker
    _lock = threading.Lock()
    if _worker is not None:
        _worker.forget()
    _worker = None


os.register_at_fork(after_in_child=_after_fork)
atexit.register(close)
