"""The progress of a running stage, visible to other processes.

    workspace/runs/live/<name>.json     stage, done of total, rate; written at most once a second
    workspace/runs/live/<name>.lock     locked while the stage's process lives

A stage that succeeds leaves no file; one that failed leaves the reason, and one whose process was
killed leaves what it last wrote, with an unlocked lock file. Both stay until the name is written
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
"""Minimum time between two writes of the file."""
BASIS_SECONDS, BASIS_SHARE, LONG_SECONDS = 5.0, 0.02, 60.0
"""A rate is measured over this time and share of the work, or over the longer time, before it counts."""


class ReplicaProgress(TypedDict):
    """One server of a model on a cluster."""

    replica: int
    """Its number, from 1."""
    host: str
    """The address of its node."""
    state: str
    """waiting (to be placed), starting, ready, or given up."""
    rate: float
    """Requests that it answered per second, lately."""


class ReplicasProgress(TypedDict):
    """The servers of a model on a cluster."""

    ready: int
    wanted: int
    lost_nodes: int
    """Nodes that were alive during the step and are gone."""
    each: list[ReplicaProgress]


@dataclass
class StageProgress:
    """The progress of a stage."""

    name: str
    """The name of the version that it makes."""
    stage: str
    process: int
    started: float
    """Seconds since 1970, as is `updated`."""
    updated: float
    done: int = 0
    total: int | None = None
    unit: str = "rows"
    rate: float | None = None
    """Units per second, counting those done in this run; None until it has a basis."""
    failed: str | None = None
    """Why the stage ended, if it raised."""
    interrupted: bool = False
    """Whether it was interrupted, rather than failed."""
    replicas: ReplicasProgress | None = None
    """The servers of its model on a cluster."""

    @property
    def line(self) -> str:
        """filter: 12,000/50,000 rows, 3,100/s"""
        total = f"/{self.total:,}" if self.total is not None else ""
        rate = f", {self.rate:,.3g}/s" if self.rate else ""
        return f"{self.stage}: {self.done:,}{total} {self.unit}{rate}"

    @property
    def left(self) -> float | None:
        """Estimated seconds left; None if the rate or the total is unknown."""
        if self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate


@dataclass(frozen=True)
class SeenProgress:
    """A stage's progress as another process sees it."""

    progress: StageProgress
    live: bool
    """Whether its process holds the lock: it has neither ended nor been killed."""


@dataclass
class _Tracked:
    progress: StageProgress
    file: Path | None
    """None if it is not visible to other processes."""
    written: float = 0.0

    def write(self) -> None:
        self.written = time.time()
        if self.file:
            write_json(asdict(self.progress), self.file)


Listener = Callable[[StageProgress | None], None]
"""Called with the progress of this process's stage at every report, and with None when it has ended."""
_tracked: list[_Tracked] = []
"""The stages of this process, the innermost last: a process runs one stage at a time."""
_listeners: list[Listener] = []


@contextmanager
def tracked(
    root: Path, name: str, kind: str, stage: str, total: int | None = None
) -> Iterator[None]:
    """Publish the progress of writing a version of `name` in the workspace `root` while the body runs.

    The caller holds the store's lock of the name and kind.
    """
    folder = root / LIVE
    folder.mkdir(parents=True, exist_ok=True)
    # A dataset and a checkpoint may have the same name; names cannot contain a comma.
    file = folder / f"{name}{',model' if kind == 'checkpoint' else ''}.json"
    now = time.time()
    this = _Tracked(StageProgress(name, stage, os.getpid(), now, now, total=total), file)
    with open(lock_of(file), "a") as opened:
        flock(opened, fcntl.LOCK_EX)  # only `is_locked` may also hold it, briefly
        this.write()
        _tracked.append(this)
        try:
            yield
        except BaseException as error:
            this.progress.failed = sentence(error)
            this.progress.interrupted = isinstance(error, KeyboardInterrupt)
            with suppress(OSError):  # a full disk must not hide the original error
                this.write()
            raise
        else:
            file.unlink(missing_ok=True)
        finally:
            _ended()


@contextmanager
def listening(stage: str, listener: Listener) -> Iterator[None]:
    """Call `listener` with the progress of this process's stages while the body runs.

    Work that reports progress but writes no version has the name `stage`.
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
    """Call `listener` with the progress of all stages of this process, from now on."""
    _listeners.append(listener)


def _ended() -> None:
    _tracked.pop()
    for listener in _listeners:
        listener(None)


def report_progress(
    done: int, total: int | None = None, unit: str = "rows", rate: float | None = None
) -> None:
    """Report the progress of this process's stage, if there is one.

    `rate` is in units per second; 0 means not known yet, None means the average since the stage's start,
    once that has a basis.
    """
    if not _tracked:
        return
    this = _tracked[-1]
    progress, now = this.progress, time.time()
    progress.done, progress.unit, progress.updated = done, unit, now
    progress.total = total if total is not None else progress.total
    if rate is None:
        seconds = now - progress.started
        known = has_basis(seconds, done / progress.total if progress.total else 1)
        rate = done / seconds if known else 0
    progress.rate = round(rate, 4) or None
    if now - this.written >= SECONDS:
        this.write()
    for listener in _listeners:
        listener(progress)


def has_basis(seconds: float, share: float) -> bool:
    """Whether a rate measured over so many seconds and this share of the work can tell the time left.

    A moment's work cannot: the first rows wait for caches, a model's first step for its kernels.
    """
    return seconds >= LONG_SECONDS or (seconds >= BASIS_SECONDS and share >= BASIS_SHARE)


def report_replicas(replicas: ReplicasProgress | None) -> None:
    """Report the servers of this process's stage, if there is one; None: they have ended."""
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
    """Start another part of the stage, whose total and rate are not known yet."""
    if _tracked:
        _tracked[-1].progress.total = None
        report_progress(0, None, unit, 0)


def current_progress() -> StageProgress | None:
    """The progress of the stage that this process runs, if there is one."""
    return _tracked[-1].progress if _tracked else None


def progress_in(root: Path) -> list[SeenProgress]:
    """The progress of every stage of a workspace, live or not, oldest first; unreadable files are skipped."""
    found = []
    for file in (root / LIVE).glob("*.json"):
        # The lock first: a stage that ends in between removes its file, and is not reported as dead.
        live = is_locked(lock_of(file))
        try:
            found.append(SeenProgress(StageProgress(**json.loads(file.read_text())), live))
        except (FileNotFoundError, ValueError, TypeError):  # ended; truncated; another version's
            continue
    return sorted(found, key=lambda seen: seen.progress.started)


def is_locked(file: Path) -> bool:
    """Whether a living process holds this lock; checking does not disturb it."""
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
        return "interrupted; run the same command to continue"
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
