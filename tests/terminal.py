"""A program on a terminal of so many columns, and what it shows there."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios


def on_terminal(
    columns: int, *arguments: object, stdout_to_file: bool = False, typed: str = ""
) -> str:
    """All that `python ARGUMENTS` writes to a terminal (and to a file, for stdout, behind it).

    `typed` is what its user types, all at once; the terminal shows that, too.
    """
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=its,
        stdout=subprocess.PIPE if stdout_to_file else its,
        stderr=its,
        env={**environment, "TERM": "xterm-256color", "PYTHONSAFEPATH": "1"},
    )
    os.close(its)
    os.write(ours, typed.encode())
    written = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # Linux: nobody has the other end open any more
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    beside = process.stdout.read() if process.stdout else b""
    assert process.wait(60) == 0, written.decode()
    return (written + beside).decode().replace("\r\n", "\n")


def without_colours(text: str) -> str:
    """The text without what sets colours, moves the cursor and clears lines."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
