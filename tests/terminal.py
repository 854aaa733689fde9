"""A program on a terminal of a given width, and what it shows there."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager


class Read:
    """What the program has written since the last look; `terminal` is our end of it."""

    def __init__(self, terminal: int):
        self.terminal = terminal

    def __call__(self, until: str | None = None) -> str:
        """All that comes until this text has, or until nobody has the other end open any more."""
        written = b""
        while until is None or until.encode() not in written:
            try:
                piece = os.read(self.terminal, 1 << 16)
            except OSError:  # Linux: nobody has the other end open any more
                break
            if not piece:
                break
            written += piece
        return written.decode().replace("\r\n", "\n")


@contextmanager
def opened(
    columns: int, *arguments: object, stdout_to_file: bool = False
) -> Iterator[tuple[subprocess.Popen[bytes], Read]]:
    """`python ARGUMENTS` on a terminal of 24 lines; it is killed at the end, if it lives."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=its,
        stdout=subprocess.PIPE if stdout_to_file else its,
        stderr=its,
        env={**environment, "TERM": "xterm-256color", "PYTHONSAFEPATH": "1"},
    )
    os.close(its)
    try:
        yield process, Read(ours)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


def on_terminal(
    columns: int,
    *arguments: object,
    stdout_to_file: bool = False,
    typed: str = "",
    code: int = 0,
) -> str:
    """All that `python ARGUMENTS` writes to a terminal (and to a file, for stdout, behind it).

    `typed` is what its user types, all at once; the terminal shows that, too.
    """
    with opened(columns, *arguments, stdout_to_file=stdout_to_file) as (process, read):
        os.write(read.terminal, typed.encode())
        written = read()
        beside = process.stdout.read().decode() if process.stdout else ""
        assert process.wait(60) == code, written
    return written + beside


def without_colours(text: str) -> str:
    """The text without what sets colours, moves the cursor and clears lines."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
