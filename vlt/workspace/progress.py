"""The pulse of a stage while it is carried out: what other processes can see of it.

    workspace/runs/live/<name>.json     stage, done of total, rate; written at most once a second
    workspace/runs/live/<name>.lock     locked for as long as the stage's process lives

A stage that ended well leaves no pulse; one that failed leaves its sentence, and one whose process
was killed leaves its last beat, with a lock that nobody holds. Both stay until the name is written
again.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from vlt.errors import UserError

LIVE = Path("runs") / "live"
SECONDS = 1.0
"""Between two beats that are written."""


@dataclass
class Pulse:
    """How far a stage has come."""

    name: str
    """Of the version that it makes."""
    stage: str
    process: int
    started: float
    """Seconds since 1970, as is `beaten`."""
    beaten: float
    done: int = 0
    total: int | None = None
    unit: str = "rows"
    rate: float | None = None
    """Units a second, of those done in this run."""
    failed: str | None = None
    """Why the stage ended, where it raised."""
    interrupted: bool = False
    """It was told to end, and nothing failed."""

    @property
    def left(self) -> float | None:
        """Seconds, where the rate tells them."""
        if self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate


@dataclass(frozen=True)
class Seen:
    """A pulse as another process sees it."""

    pulse: Pulse
    live: bool
    """Its process holds the lock: it has neither ended nor been killed."""


_open: list[tuple[Pulse, Path]] = []
"""Of this process, the innermost last: a process carries out one stage at a time."""


@contextmanager
def pulse(root: Path, name: str, kind: str, stage: str, total: int | None = None) -> Iterator[None]:
    """Be seen as writing a version of `name` in the workspace `root` while the body lasts.

    Whoever calls holds the store's lock of the name and kind.
    """
    folder = root / LIVE
    folder.mkdir(parents=True, exist_ok=True)
    # A dataset and a checkpoint may have one name; a name has no comma.
    file = folder / f"{name}{',model' if kind == 'checkpoint' else ''}.json"
    now = time.time()
    beating = Pulse(name, stage, os.getpid(), now, now, total=total)
    with open(lock_of(file), "a") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)  # only `seen` may hold it besides, for an instant
        _write(beating, file)
        _open.append((beating, file))
        try:
            yield
        except BaseException as error:
            beating.failed = sentence(error)
            beating.interrupted = isinstance(error, KeyboardInterrupt)
            with suppress(OSError):  # a full disk may be the reason; it must not hide another one
                _write(beating, file)
            raise
        else:
            file.unlink(missing_ok=True)
        finally:
            _open.pop()


def beat(
    done: int, total: int | None = None, unit: str = "rows", rate: float | None = None
) -> None:
    """Tell how far the stage of this process has come, if there is one.

    `rate` is in units a second; 0 is one that nobody knows yet, None that since the stage's start.
    """
    if not _open:
        return
    beating, file = _open[-1]
    now = time.time()
    if now - beating.beaten < SECONDS:
        return
    beating.done, beating.unit, beating.beaten = done, unit, now
    beating.total = total if total is not None else beating.total
    speed = done / (now - beating.started) if rate is None else rate
    beating.rate = round(speed, 4) or None
    _write(beating, file)


def pulses(root: Path) -> list[Seen]:
    """The pulses of a workspace, live or not, oldest first; an unreadable one is left out."""
    found = []
    for file in (root / LIVE).glob("*.json"):
        # The lock first: a stage that ends in between takes its file away, and is not called dead.
        live = is_locked(lock_of(file))
        try:
            found.append(Seen(Pulse(**json.loads(file.read_text())), live))
        except (
            FileNotFoundError,
            ValueError,
            TypeError,
        ):  # ended; cut off by a crash; a newer vlt's
            continue
    return sorted(found, key=lambda seen: seen.pulse.started)


def is_locked(file: Path) -> bool:
    """Whether a living process holds this lock; looking takes nothing from it."""
    try:
        with open(file) as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def lock_of(file: Path) -> Path:
    """The lock beside a JSON file."""
    return file.with_suffix(".lock")


def replace_json(value: object, file: Path) -> None:
    """Write JSON so that a reader sees the old file or the whole new one."""
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_text(json.dumps(value, ensure_ascii=False) + "\n")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def sentence(error: BaseException) -> str:
    """Why something ended, in words for people."""
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


def _write(beating: Pulse, file: Path) -> None:
    replace_json(asdict(beating), file)
