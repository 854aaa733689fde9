"""How far a stage has come while it is carried out, for other processes to see.

    workspace/runs/live/<name>.json     stage, done of total, rate; written at most once a second
    workspace/runs/live/<name>.lock     locked for as long as the stage's process lives

A stage that ended well leaves no file; one that failed leaves the reason, and one whose process was
killed leaves what it last wrote, with a lock that nobody holds. Both stay until the name is written
again.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from vlt.errors import UserError
from vlt.plural import plural
from vlt.shared_disk import flock
from vlt.workspace.files import write_json

LIVE = Path("runs") / "live"
SECONDS = 1.0
"""Between two writes of the file."""


class ReplicaProgress(TypedDict):
    """One server of a model on a cluster."""

    replica: int
    """Its number, from 1 on."""
    host: str
    """Of the node that it is on, or was last."""
    state: str
    """waiting (for a place), starting, ready, or given up."""
    rate: float
    """Requests a second that it answers, of late."""


class ReplicasProgress(TypedDict):
    """The servers of a model on a cluster."""

    ready: int
    wanted: int
    lost_nodes: int
    """Nodes that were there when the step asked for its first server, or later, and are gone."""
    each: list[ReplicaProgress]


@dataclass
class StageProgress:
    """How far a stage has come."""

    name: str
    """Of the version that it makes."""
    stage: str
    process: int
    started: float
    """Seconds since 1970, as is `updated`."""
    updated: float
    done: int = 0
    total: int | None = None
    unit: str = "rows"
    rate: float | None = None
    """Units a second, of those done in this run."""
    failed: str | None = None
    """Why the stage ended, where it raised."""
    interrupted: bool = False
    """It was told to end, and nothing failed."""
    replicas: ReplicasProgress | None = None
    """Of the model that it asks, on a cluster."""

    @property
    def line(self) -> str:
        """filter: 12,000/50,000 rows, 3,100/s"""
        total = f"/{self.total:,}" if self.total is not None else ""
        rate = f", {self.rate:,.3g}/s" if self.rate else ""
        return f"{self.stage}: {self.done:,}{total} {self.unit}{rate}"

    @property
    def left(self) -> float | None:
        """Seconds, where the rate tells them."""
        if self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate


@dataclass(frozen=True)
class SeenProgress:
    """A stage's progress as another process sees it."""

    progress: StageProgress
    live: bool
    """Its process holds the lock: it has neither ended nor been killed."""


@dataclass
class _Tracked:
    progress: StageProgress
    file: Path | None
    """None where no other process is to see it."""
    written: float = 0.0

    def write(self) -> None:
        self.written = time.time()
        if self.file:
            write_json(asdict(self.progress), self.file)


Listener = Callable[[StageProgress | None], None]
"""Told how far the stage of this process is whenever it tells; None when it has ended."""
_tracked: list[_Tracked] = []
"""Of this process, the innermost last: a process carries out one stage at a time."""
_listeners: list[Listener] = []


@contextmanager
def tracked(
    root: Path, name: str, kind: str, stage: str, total: int | None = None
) -> Iterator[None]:
    """Be seen as writing a version of `name` in the workspace `root` while the body lasts.

    Whoever calls holds the store's lock of the name and kind.
    """
    folder = root / LIVE
    folder.mkdir(parents=True, exist_ok=True)
    # A dataset and a checkpoint may have one name; a name has no comma.
    file = folder / f"{name}{',model' if kind == 'checkpoint' else ''}.json"
    now = time.time()
    this = _Tracked(StageProgress(name, stage, os.getpid(), now, now, total=total), file)
    with open(lock_of(file), "a") as opened:
        flock(opened, fcntl.LOCK_EX)  # only `is_locked` may hold it besides, for an instant
        this.write()
        _tracked.append(this)
        try:
            yield
        except BaseException as error:
            this.progress.failed = sentence(error)
            this.progress.interrupted = isinstance(error, KeyboardInterrupt)
            with suppress(OSError):  # a full disk may be the reason; it must not hide another one
                this.write()
            raise
        else:
            file.unlink(missing_ok=True)
        finally:
            _ended()


@contextmanager
def listening(stage: str, listener: Listener) -> Iterator[None]:
    """Let `listener` hear of the stages of this process while the body lasts.

    What tells how far it is and writes no version goes by the name `stage`.
    """
    now = time.time()
    _tracked.append(_Tracked(StageProgress("", stage, os.getpid(), now, now), None))
    _listeners.append(listener)
    try:
        yield
    finally:
        _ended()
        _listeners.remove(listener)


def listen(listener: Listener) -> None:
    """Let `listener` hear of all stages of this process, from now on."""
    _listeners.append(listener)


def _ended() -> None:
    _tracked.pop()
    for listener in _listeners:
        listener(None)


def report_progress(
    done: int, total: int | None = None, unit: str = "rows", rate: float | None = None
) -> None:
    """Tell how far the stage of this process has come, if there is one.

    `rate` is in units a second; 0 is one that nobody knows yet, None that since the stage's start.
    """
    if not _tracked:
        return
    this = _tracked[-1]
    progress, now = this.progress, time.time()
    progress.done, progress.unit, progress.updated = done, unit, now
    progress.total = total if total is not None else progress.total
    speed = done / max(1e-9, now - progress.started) if rate is None else rate
    progress.rate = round(speed, 4) or None
    if now - this.written >= SECONDS:
        this.write()
    for listener in _listeners:
        listener(progress)


def report_replicas(replicas: ReplicasProgress | None) -> None:
    """Tell how it stands with the servers that the stage of this process asks; None: they have ended."""
    if not _tracked:
        return
    this = _tracked[-1]
    this.progress.replicas = replicas
    if time.time() - this.written >= SECONDS:
        this.progress.updated = time.time()
        this.write()


def replicas_words(replicas: ReplicasProgress) -> str:
    """2 of 3 replicas, 1 node lost"""
    words = f"{replicas['ready']} of {plural(replicas['wanted'], 'replica')}"
    lost = replicas["lost_nodes"]
    return f"{words}, {plural(lost, 'node')} lost" if lost else words


def begin_part(unit: str) -> None:
    """Another part of the stage begins, of which nothing is known yet."""
    if _tracked:
        _tracked[-1].progress.total = None
        report_progress(0, None, unit, 0)


def current_progress() -> StageProgress | None:
    """That of the stage which this process carries out, if there is one."""
    return _tracked[-1].progress if _tracked else None


def progress_in(root: Path) -> list[SeenProgress]:
    """That of every stage of a workspace, live or not, oldest first; an unreadable file is left out."""
    found = []
    for file in (root / LIVE).glob("*.json"):
        # The lock first: a stage that ends in between takes its file away, and is not called dead.
        live = is_locked(lock_of(file))
        try:
            found.append(SeenProgress(StageProgress(**json.loads(file.read_text())), live))
        except (FileNotFoundError, ValueError, TypeError):  # ended; cut off; another vlt's
            continue
    return sorted(found, key=lambda seen: seen.progress.started)


def is_locked(file: Path) -> bool:
    """Whether a living process holds this lock; looking takes nothing from it."""
    try:
        with open(file) as opened:
            flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def lock_of(file: Path) -> Path:
    """The lock beside a JSON file."""
    return file.with_suffix(".lock")


def sentence(error: BaseException) -> str:
    """Why something ended, as one line."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; the same command goes on"
    words = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def duration(seconds: float) -> str:
    """90 -> 1 min 30 s"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def iso(seconds: float) -> str:
    """Seconds since 1970 as UTC, ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
