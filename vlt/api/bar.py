"""A stage's progress as a bar in a notebook or on a terminal, by tqdm, which detects which it is."""

from __future__ import annotations

import functools
import time
from typing import Any

from vlt.workspace.progress import StageProgress, current_progress, duration, listen

OFTEN = 0.2
"""Seconds between two updates."""
OPEN = "{desc}"
FULL = "{percentage:3.0f} % {bar:20} {desc}"
WIDGET = "{percentage:3.0f} % {bar} {desc}"
"""In a notebook, where tqdm puts its own widget in the place of {bar}, and of nothing else."""


@functools.cache
def shown() -> Bar:
    """The one bar of this process: a process runs one stage at a time."""
    bar = Bar()
    listen(bar.hear)
    return bar


class Bar:
    """Shows a stage's message, or else its progress; it disappears when the stage has ended."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._line = ""
        self._drawn = 0.0

    def __call__(self, line: str) -> None:
        """Show the newest message of a stage."""
        self._line = line
        self._draw(current_progress(), line)

    def hear(self, progress: StageProgress | None) -> None:
        """Show the stage's progress; None: it has ended."""
        if progress is None:
            self._line = ""
            if self._bar is not None:
                self._bar.total = (
                    None  # or a notebook keeps it, in red, where the last news was older
                )
                self._bar.close()
                self._bar = None
        elif not self._line and time.monotonic() - self._drawn >= OFTEN:
            self._draw(progress, progress.line)

    def _draw(self, progress: StageProgress | None, line: str) -> None:
        from tqdm.auto import tqdm

        self._drawn = time.monotonic()
        if self._bar is None:
            self._bar = tqdm(bar_format=OPEN, leave=False)
        if progress and progress.left is not None and not line.endswith(" left"):
            line = f"{line}, {duration(progress.left)} left"
        total = progress.total if progress else None
        if total and total != self._bar.total:
            self._bar.reset(total)  # the widget's length, too
        self._bar.total, self._bar.n = total, min(progress.done, total) if progress and total else 0
        full = WIDGET if hasattr(self._bar, "container") else FULL
        self._bar.bar_format = full if total else OPEN
        self._bar.set_description_str(line)
