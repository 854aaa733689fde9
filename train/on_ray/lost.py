"""What happens after a process of a training on a cluster has failed.

Ray Train stops the others and restarts all. That is right if a node or a process was lost, and useless if
the next attempt would fail in the same way: that is reported at once, or after a few attempts from the same
checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vlt.plural import plural
from vlt.train.launch import tell
from vlt.train.resume import last_checkpoint, step_of

RUNNING = ".placed"
"""In the build folder while an attempt is running."""
LOST = "lost"
"""In the build folder: one line per failed attempt."""
TRIES = 2
"""Attempts from one checkpoint that may fail without a lost node or process: a connection may break, but
insufficient memory will stay insufficient."""
LOST_TRIES = 20
"""All attempts from one checkpoint."""
NOTICED = 10.0
"""Seconds until a cluster notices a lost node."""


class Ended(Exception):
    """The child of a process failed."""

    def __init__(self, sentence: str, *, final: bool = False, from_outside: bool = False):
        super().__init__(sentence, final, from_outside)
        self.sentence = sentence
        self.final = final
        """It would fail again: a user's mistake."""
        self.from_outside = from_outside
        """It was killed, or its vLLM server was lost: the next attempt may well succeed."""

    def __reduce__(self) -> tuple[object, ...]:
        return _ended, (self.sentence, self.final, self.from_outside)


def _ended(sentence: str, final: bool, from_outside: bool) -> Ended:
    return Ended(sentence, final=final, from_outside=from_outside)


class GivenUp(Exception):
    """Another attempt is useless; the argument says why, in one sentence."""


@dataclass
class Attempts:
    """Counts the attempts of a training, and decides when to give up."""

    folder: Path
    processes: int
    dead: Callable[[], set[str]]
    """Returns the nodes of the cluster that are known to be dead."""
    before: set[str] = field(default_factory=set)
    """Those that were dead before this attempt."""
    at: str = ""
    """The checkpoint from which the last attempts started."""
    own: int = 0
    """Failed attempts from it, without a lost node or process."""
    all: int = 0
    """All failed attempts from it."""

    def after(self, errors: Mapping[int, BaseException]) -> None:
        """Record that processes (by rank) failed with these errors; raises GivenUp."""
        (self.folder / RUNNING).unlink(missing_ok=True)
        told = [error for error in errors.values() if isinstance(error, Ended)]
        for error in told:
            if error.final:
                raise GivenUp(error.sentence)
        node = self._lost_node(wait=len(told) == len(errors))
        alone = not node and len(told) == len(errors) and not any(e.from_outside for e in told)
        last = last_checkpoint(self.folder / "run", self.processes)
        name = last.name if last else ""
        if name != self.at:
            self.at, self.own, self.all = name, 0, 0
        self.own += alone
        self.all += 1
        if self.own >= TRIES or self.all >= LOST_TRIES:
            why = told[0].sentence if told else "nodes or processes were lost repeatedly"
            raise GivenUp(f"{why} ({plural(self.all, 'attempt')})")
        with open(self.folder / LOST, "a") as opened:
            opened.write(f"{name}\n")
        what = "a node was lost" if node else "a process was lost"
        where = f"step {step_of(last)}" if last else "the beginning"
        tell(
            self.folder,
            says=f"{what}; {self.processes} processes will resume from {where}",
        )

    def _lost_node(self, *, wait: bool) -> bool:
        """Whether nodes have died; with `wait`, give the cluster time to notice."""
        end = time.monotonic() + (NOTICED if wait else 0)
        while not (new := self.dead() - self.before) and time.monotonic() < end:
            time.sleep(0.5)
        self.before |= new
        return bool(new)


def losses(folder: Path) -> int:
    """How often a training in this build folder has restarted."""
    try:
        return len((folder / LOST).read_text().splitlines())
    except FileNotFoundError:
        return 0
