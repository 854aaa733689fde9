"""Progress on stderr: one live line on a terminal, an occasional plain line elsewhere."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Shown

    from vlt.workspace.progress import StageProgress

SOON, OFTEN = 0.5, 0.1
"""Seconds before a stage's progress is shown, and between two updates."""
BAR, BAR_FROM = 20, 100
"""Columns of the bar, and of the narrowest terminal that has room for one."""


class Progress:
    """Called with the state of a stage; the newest line replaces the one before.

    On a terminal it has a bar and the time left if the stage's total is known. Elsewhere: a plain line
    at most every `seconds`.
    """

    def __init__(self, seconds: float = 10.0):
        self.seconds = seconds
        self.terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._printed = time.monotonic()
        self._shown: Shown | None = None

    def __call__(self, line: str) -> None:
        if self.terminal:
            self._show(line)
        elif time.monotonic() - self._printed >= self.seconds:
            self._printed = time.monotonic()
            # A reader that closes the pipe (`| head`) must not end a training.
            with contextlib.suppress(BrokenPipeError):
                print(f"        {line}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def watching(self, stage: str) -> Iterator[None]:
        """Show, on a terminal, the progress of a stage that prints no lines itself."""
        from vlt.workspace.progress import listening

        updated = time.monotonic() + SOON - OFTEN

        def hear(progress: StageProgress | None) -> None:
            nonlocal updated
            if progress and self.terminal and time.monotonic() - updated >= OFTEN:
                updated = time.monotonic()
                self._show(progress.line)

        with listening(stage, hear):
            try:
                yield
            finally:
                self.done()

    def done(self) -> None:
        """Clear the line, so that the next output starts on an empty line."""
        if self._shown:
            self._shown.stop()
            self._shown = None

    def _show(self, line: str) -> None:
        from vlt.cli.output import plain
        from vlt.workspace.progress import current_progress, duration

        stage = current_progress()
        if stage and stage.left is not None and not line.endswith(" left"):
            line = f"{line}, {duration(stage.left)} left"
        if self._shown is None:
            self._shown = _start()
        (task,) = self._shown.task_ids
        self._shown.update(
            task,
            description=plain(line).replace("\n", " "),
            completed=stage.done if stage else 0,
            total=stage.total if stage else None,
        )


def watching(stage: str) -> contextlib.AbstractContextManager[None]:
    """Show, on a terminal, the progress that the body reports by `report_progress`."""
    return Progress().watching(stage)


def _start() -> Shown:
    """Start the live line; what is printed meanwhile appears above it."""
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Shown
    from rich.progress_bar import ProgressBar
    from rich.table import Column

    class Bar(BarColumn):
        """Empty if the total is unknown, or the text needs the room."""

        def render(self, task: Task) -> ProgressBar | str:  # type: ignore[override]
            return super().render(task) if task.total and console.width >= BAR_FROM else ""

    text = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    console = Console(stderr=True)
    shown = Shown(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=text),
        Bar(bar_width=BAR),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        expand=True,
        # Results that go to the same terminal appear above; a redirected stdout stays as it is.
        redirect_stdout=sys.stdout.isatty(),
    )
    shown.add_task("", total=None)
    shown.start()
    console.show_cursor(True)  # a killed process must not leave the terminal without one
    atexit.register(shown.stop)
    return shown
