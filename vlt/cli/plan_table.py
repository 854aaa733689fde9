"""A run's progress on a terminal: the plan as a table, redrawn in place and left there at the end.

Each step has its state, rows, time, rate, time left and accuracy; below is the stage's own message.
What other code prints meanwhile appears above.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vlt.cli.output import chosen_score, percent, plain
from vlt.cli.progress import BAR, BAR_FROM, Progress
from vlt.plural import plural

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table

    from vlt.runs.step import Step

NARROWEST = 80
"""Columns; on a narrower terminal plain lines are more readable."""
PER_SECOND = 2
"""How often it is drawn: the CPU has other work."""
OTHER_LINES = 4
"""Lines of the terminal not used by steps: the header, the stage's message, and some space."""
STYLES = {"running": "bold", "done": "green", "there": "green", "failed": "red bold",
          "interrupted": "yellow", "waiting": "dim", "skipped": "dim"}  # fmt: skip


@dataclass
class Row:
    """The state of one step."""

    round: int
    name: str
    state: str = "waiting"
    """waiting, running, done, there (it existed already), failed, interrupted or skipped."""
    rows: str = ""
    accuracy: str = ""
    started: float = 0.0
    seconds: float | None = None


def fits() -> bool:
    """Whether stderr is a terminal that a table can be drawn on."""
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return terminal and shutil.get_terminal_size().columns >= NARROWEST


class PlanTable(AbstractContextManager["PlanTable"]):
    """The table of a run's steps; `progress` receives their stages' messages."""

    def __init__(self, steps: Sequence[Step]):
        self.rows = [Row(step.round, step.name) for step in steps]
        self.progress = _Message(self)
        self.message = ""
        """Of the stage that is running."""
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self._live = Live(
            get_renderable=lambda: self._drawn(console),
            console=console,
            refresh_per_second=PER_SECOND,
            transient=True,
            # Results that go to the same terminal appear above; a redirected stdout stays as it is.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()
        console.show_cursor(True)  # a killed process must not leave the terminal without one
        atexit.register(self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended = "skipped"
        if error is not None:
            stopped = isinstance(error, KeyboardInterrupt)
            ended, broken = "waiting", "interrupted" if stopped else "failed"
            for row in self.rows:
                if row.state == "running":
                    row.state, row.seconds = broken, time.monotonic() - row.started
        for row in self.rows:
            if row.state == "waiting":
                row.state = ended
        self._stop()

    def begin(self, step: Step) -> None:
        """A step begins."""
        row = self._row(step, "waiting")
        row.state, row.started, self.message = "running", time.monotonic(), ""

    def end(self, step: Step, dataset: Any, existed: bool) -> None:
        """A step has made its version, or found it."""
        row, m = self._row(step, "running"), dataset.manifest
        row.state = "there" if existed else "done"
        row.seconds = None if existed else time.monotonic() - row.started
        row.rows = plural(m.rows, m.kind)
        if m.kind == "checkpoint":
            row.rows = plural(m.facts["steps"], "step") if "steps" in m.facts else ""
        elif m.failed:
            row.rows += f", {sum(m.failed.values()):,} failed"
        row.accuracy = _accuracy(m.facts)
        self.message = ""

    def _row(self, step: Step, state: str) -> Row:
        """The step's row; a round may have several trainings of one name, one after the other."""
        named = (row for row in self.rows if (row.round, row.name) == step.key)
        return next(row for row in named if row.state == state)

    def _stop(self) -> None:
        """Replace the live table by the complete one."""
        live, self._live = self._live, None
        if live:
            live.stop()
            atexit.unregister(self._stop)
            live.console.print(self._table(live.console), highlight=False)

    def _drawn(self, console: Console) -> RenderableType:
        from rich.console import Group

        return Group(self._table(console, console.height - OTHER_LINES), self._below(console))

    def _table(self, console: Console, most: int | None = None) -> Table:
        """The table; with more steps than the terminal has lines, those around the running one."""
        from rich.table import Table
        from rich.text import Text

        wide = console.width >= BAR_FROM
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        heads = ["round", "step", "state", "rows", "time", *(["rate"] if wide else []), "left"]
        right = ("round", "time", "rate", "left")
        for head in heads:
            table.add_column(head, justify="right" if head in right else "left", no_wrap=True)
        table.add_column("accuracy", no_wrap=True, overflow="ellipsis")
        first, last = _window(self.rows, most)
        if first:
            table.add_row("", Text(f"... {first} before", style="dim"))
        number = -1
        for row in self.rows[first:last]:
            shown = f"{row.round or ''}" if row.round != number else ""
            number = row.round
            style = STYLES[row.state]
            cells = [row.rows, _time(row), *([""] if wide else []), ""]
            if row.state == "running":
                cells = [*self._running(row, wide)]
            accuracy = row.accuracy if wide else row.accuracy.partition(" [")[0]
            texts = [shown, row.name, row.state, *cells, accuracy]
            dim = "dim" if row.state in ("waiting", "skipped") else ""
            table.add_row(
                *(Text(plain(t), style=style if i == 2 else dim) for i, t in enumerate(texts))
            )
        if last < len(self.rows):
            table.add_row("", Text(f"... {len(self.rows) - last} after", style="dim"))
        return table

    def _running(self, row: Row, wide: bool) -> Iterator[str]:
        """Rows, time, rate and time left of the running step."""
        from vlt.workspace.progress import current_progress, duration

        stage = current_progress()
        total = f"/{stage.total:,}" if stage and stage.total is not None else ""
        yield f"{stage.done:,}{total} {stage.unit}" if stage and (stage.done or total) else ""
        yield _time(row)
        if wide:
            yield f"{stage.rate:,.3g}/s" if stage and stage.rate else ""
        yield duration(stage.left) if stage and stage.left is not None else ""

    def _below(self, console: Console) -> RenderableType:
        """The stage's message, and a bar if its total is known."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        from vlt.workspace.progress import current_progress

        stage = current_progress()
        line = Table.grid(padding=(0, 1, 0, 0))
        text = Text(plain(self.message).replace("\n", " "), no_wrap=True, overflow="ellipsis")
        if stage and stage.total and console.width >= BAR_FROM:
            bar = ProgressBar(stage.total, min(stage.done, stage.total), width=BAR)
            line.add_row(bar, text)
        else:
            line.add_row(text)
        return line


class _Message(Progress):
    """Keeps the newest line for the table to show."""

    def __init__(self, table: PlanTable):
        super().__init__()
        self._table = table

    def __call__(self, line: str) -> None:
        self._table.message = line

    def done(self) -> None:
        """Do nothing: the table stays, and other output appears above it."""


def _window(rows: Sequence[Row], most: int | None) -> tuple[int, int]:
    """First and last of the rows shown, leaving lines to say how many are not."""
    if most is None or len(rows) <= most:
        return 0, len(rows)
    room = max(3, most - 2)
    now = next(
        (i for i, row in enumerate(rows) if row.state in ("running", "waiting")), len(rows) - 1
    )
    first = min(max(0, now - room // 3), len(rows) - room)
    return first, first + room


def _time(row: Row) -> str:
    from vlt.workspace.progress import duration

    if row.state == "running":
        return duration(time.monotonic() - row.started)
    return "" if row.seconds is None else duration(row.seconds)


def _accuracy(facts: dict[str, Any]) -> str:
    """An evaluation's accuracy, or that of the model which a training chose."""
    if chosen := facts.get("chosen"):
        return f"{percent(chosen_score(chosen))} (step {chosen['step']})"
    return percent(facts.get("accuracy")) or ""
