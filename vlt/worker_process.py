"""A process that answers questions over a pipe, and that its parent may kill at any time.

    worker = WorkerProcess("vlt.images.worker")           # python -m vlt.images.worker
    worker.ask(b"...", seconds=10)                        # raises WorkerGone if it is late or died

    def main() -> None:                                   # vlt/images/worker.py
        serve(answer)                                     # answer(question: bytes) -> bytes

It is a fresh interpreter: nothing is forked, since the parent may use torch, threads and a GPU. A frame
is eight bytes of length followed by the content, whose format is up to the two ends. The parent enforces
the deadline with `poll`, without signals, so any thread may ask.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

_HEAD = struct.Struct(">Q")
READY = b"ready"
START_SECONDS = 60.0
"""Time to start an interpreter and import what it needs, on a busy machine."""
PIPE_BYTES = 1 << 20


class WorkerGone(Exception):
    """The process did not answer in time, or died; it is dead now."""


class WorkerProcess:
    """One process and the pipes to it; not thread-safe."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        pass_files: Sequence[int] = (),
        quiet: bool = False,
    ):
        """Start `python -m MODULE ARGUMENTS`, which calls `serve`; returns before it is ready.

        `environment` is added to this process's, `pass_files` are file descriptors that it inherits, and
        with `quiet` its standard error is discarded.
        """
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": module_path(), **(environment or {})},
            pass_fds=pass_files,
            start_new_session=True,  # ctrl-C in the terminal is handled by the parent
            pipesize=PIPE_BYTES,
        )
        os.set_blocking(pipe_of(self.process.stdin).fileno(), False)
        self.asked = 0
        self._ready = False

    def ask(self, question: bytes, seconds: float | None = None) -> bytes:
        """The answer to one question. Raises WorkerGone, after which this object cannot be used.

        `seconds` (None: no limit) count from when the process is ready, however long it took to start.
        """
        self.asked += 1
        try:
            if not self._ready:
                self._ready = self._receive(time.monotonic() + START_SECONDS) == READY
            end = None if seconds is None else time.monotonic() + seconds
            self._send(question, end)
            return self._receive(end)
        except (OSError, ValueError, WorkerGone) as error:  # ValueError: its pipes are closed
            self.kill()
            raise WorkerGone from error

    def is_ready(self) -> bool:
        """Whether it has started, or died; until then `ask` would wait."""
        poll = select.poll()
        poll.register(pipe_of(self.process.stdout).fileno(), select.POLLIN)
        return self._ready or bool(poll.poll(0))

    def kill(self) -> None:
        """End the process at once; harmless if it is dead. It has no state that could be lost."""
        with contextlib.suppress(OSError):
            self.process.kill()
            self.process.wait()
        self.forget()

    def forget(self) -> None:
        """Close this process's ends of the pipes (in a forked child, whose worker belongs to the parent)."""
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe_of(pipe).close()
        if self.process.returncode is None:
            self.process.returncode = 0  # so that a forked child does not wait for it

    def _send(self, content: bytes, end: float | None) -> None:
        pipe = pipe_of(self.process.stdin).fileno()
        for piece in (_HEAD.pack(len(content)), content):
            left = memoryview(piece)
            while left:
                _wait(pipe, select.POLLOUT, end)
                with contextlib.suppress(BlockingIOError):
                    left = left[os.write(pipe, left) :]

    def _receive(self, end: float | None) -> bytes:
        (size,) = _HEAD.unpack(self._read(_HEAD.size, end))
        return self._read(size, end)

    def _read(self, size: int, end: float | None) -> bytes:
        pipe = pipe_of(self.process.stdout).fileno()
        content = bytearray()
        while len(content) < size:
            _wait(pipe, select.POLLIN, end)
            piece = os.read(pipe, min(size - len(content), PIPE_BYTES))
            if not piece:
                raise WorkerGone("it died")
            content += piece
        return bytes(content)


def serve(answer: Callable[[bytes], bytes], prepare: Callable[[], object] | None = None) -> None:
    """The worker's side: answer each question until the pipe closes, which happens if the parent dies.

    It then ends even in the middle of an answer, which may be long, or an endless loop in a user's
    function. `prepare` is called before it reports that it is ready: for imports, and limits on memory.
    What libraries print goes to standard error and cannot mix with the frames.
    """
    threading.Thread(target=_end_with_parent, args=(os.dup(0),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    questions = os.fdopen(os.dup(0), "rb")
    if prepare:
        prepare()
    try:
        _write(answers, READY)
        while len(head := questions.read(_HEAD.size)) == _HEAD.size:
            (size,) = _HEAD.unpack(head)
            _write(answers, answer(questions.read(size)))
    except BrokenPipeError:
        return


def _end_with_parent(pipe: int) -> None:
    """Wait until the other end of the pipe is closed, and end the process."""
    poll = select.poll()
    poll.register(pipe, 0)  # POLLHUP is always reported
    poll.poll()
    os._exit(0)


def _write(answers: Any, content: bytes) -> None:
    for piece in (_HEAD.pack(len(content)), content):
        left = memoryview(piece)
        while left:
            left = left[answers.write(left) :]


def _wait(pipe: int, event: int, end: float | None) -> None:
    """Wait until the pipe can be read or written; raises WorkerGone at `end`."""
    poll = select.poll()
    poll.register(pipe, event)
    left = None if end is None else end - time.monotonic()
    if (left is not None and left <= 0) or not poll.poll(None if left is None else left * 1000):
        raise WorkerGone("it is late")


def module_path() -> str:
    """PYTHONPATH for a fresh interpreter that imports what this one can."""
    return os.pathsep.join(entry or os.getcwd() for entry in sys.path)


def pipe_of(pipe: IO[bytes] | None) -> IO[bytes]:
    """One of a process's pipes, which was asked for."""
    assert pipe is not None, "Popen was given PIPE"
    return pipe
