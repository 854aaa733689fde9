"""Progress on stderr: one line that is written over on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time


class Progress:
    """Called with the state of a stage; the newest line replaces the one before.

    Not a terminal: a plain line at most every `seconds`.
    """

    def __init__(self, seconds: float = 10.0):
        self.seconds = seconds
        self.terminal = sys.stderr.isatty()
        self._shown = time.monotonic()
        self._open = False

    def __call__(self, line: str) -> None:
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r\x1b[K" + f"        {line}"[:width])
            sys.stderr.flush()
            self._open = True
        elif time.monotonic() - self._shown >= self.seconds:
            self._shown = time.monotonic()
            # Whoever read the first lines and left (`| head`) does not end a training.
            with contextlib.suppress(BrokenPipeError):
                print(f"        {line}", file=sys.stderr, flush=True)

    def done(self) -> None:
        """Clear the line, so that the next words start at its beginning."""
        if self._open:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._open = False
