"""What comes after a process of a training on a cluster has ended before its end.

Ray Train ends the others and places all again. That is right where a node or a process was lost, and
useless where the next attempt would end in the same way: that is told at once, or after a few attempts
from the same checkpoint.
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
"""In the build folder: a line an attempt that was lost."""
TRIES = 2
"""Attempts from one checkpoint that may end without a node or a process having been lost: a connection may
break, but memory that does not suffice never will."""
LOST_TRIES = 20
"""Attempts from one checkpoint at all."""
NOTICED = 10.0
"""Seconds in which a cluster notices that a node is gone."""


class Ended(Exception):
    """The child of a process ended before its end."""

    def __init__(self, sentence: str, *, final: bool = False, by_signal: bool = False):
        super().__init__(sentence, final, by_signal)
        self.sentence = sentence
        self.final = final
        """It would end so again: a mistake of the user's."""
        self.by_signal = by_signal

    def __reduce__(self) -> tuple[object, ...]:
        return _ended, (self.sentence, self.final, self.by_signal)


def _ended(sentence: str, final: bool, by_signal: bool) -> Ended:
    return Ended(sentence, final=final, by_signal=by_signal)


class GivenUp(Exception):
    """There is no sense in another attempt; its argument is the sentence that says why."""


@dataclass
class Attempts:
    """Counts the attempts of a training, and says when there is to be no further one."""

    folder: Path
    processes: int
    dead: Callable[[], set[str]]
    """The nodes of the cluster that are known to be gone."""
    before: set[str] = field(default_factory=set)
    """Those that were gone before this attempt."""
    at: str = ""
    """The checkpoint that the last attempts began with."""
    own: int = 0
    """Of these, those that ended by themselves."""
    all: int = 0

    def after(self, errors: Mapping[int, BaseException]) -> None:
        """After the processes of these ranks have ended so; raises GivenUp."""
        (self.folder / RUNNING).unlink(missing_ok=True)
        told = [error for error in errors.values() if isinstance(error, Ended)]
        for error in told:
            if error.final:
                raise GivenUp(error.sentence)
        node = self._lost_node(wait=len(told) == len(errors))
        alone = not node and len(told) == len(errors) and not any(e.by_signal for e in told)
        last = last_checkpoint(self.folder / "run", self.processes)
        name = last.name if last else ""
        if name != self.at:
            self.at, self.own, self.all = name, 0, 0
        self.own += alone
        self.all += 1
        if self.own >= TRIES or self.all >= LOST_TRIES:
            why = told[0].sentence if told else "nodes or processes were lost again and again"
            raise GivenUp(f"{why} ({plural(self.all, 'attempt')} from here)")
        with open(self.folder / LOST, "a") as opened:
            opened.write(f"{name}\n")
        what = "a node was lost" if node else "a process was lost"
        where = f"step {step_of(last)}" if last else "the beginning"
        tell(
            self.folder,
            says=f"{what}; waiting for {self.processes} processes to go on from {where}",
        )

    def _lost_node(self, *, wait: bool) -> bool:
        """Whether nodes are gone that were there; those that are not known yet are waited for."""
        end = time.monotonic() + (NOTICED if wait else 0)
        while not (new := self.dead() - self.before) and time.monotonic() < end:
            time.sleep(0.5)
        self.before |= new
        return bool(new)


def losses(folder: Path) -> int:
    """How often a training of this build folder has lost a process."""
    try:
        return len((folder / LOST).read_text().splitlines())
    except FileNotFoundError:
        return 0
