"""`vlt` that kills itself as kill -9 does, once at each moment of a run:

    MORTAL=FOLDER python -m tests.real_vllm.mortal run recipe.yaml -w workspace

Moments are asking (some answers of a step have arrived), training (a step of it is done) and writing
(the first rows of a version are written, and its manifest is not). FOLDER holds a file for each that
has been died at, named ROUND-STEP-MOMENT; ONLY names those that are meant, all by default.
Where a step ends, no server may be left of it: the next one may need the memory.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from vlt.cli.main import main
from vlt.runs.record import RecordedRun
from vlt.train import launch
from vlt.workspace.journal import Journal
from vlt.workspace.writer import Writer

ARRIVED = 3
"""Answers of a step, at which it is killed."""
FOLDER = Path(os.environ["MORTAL"])
ONLY = os.environ.get("ONLY", "").split()
step, arrived = "", 0


def die(moment: str) -> None:
    """Die, unless it has died here before."""
    file = FOLDER / f"{step}-{moment}"
    if step and (not ONLY or file.name in ONLY) and not file.exists():
        file.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)


def after(of: Any, name: str, then: Callable[..., None]) -> None:
    """Call `then` with the arguments of `of.name` after each call of it."""
    real = getattr(of, name)

    def both(*arguments: Any, **more: Any) -> Any:
        found = real(*arguments, **more)
        then(*arguments, **more)
        return found

    setattr(of, name, both)


def begun(_: RecordedRun, number: int, name: str) -> None:
    global step, arrived
    step, arrived = f"{number}-{name}", 0


def ended(*_: Any) -> None:
    left = [" ".join(p.cmdline()) for p in psutil.Process().children(recursive=True)]
    assert not left, f"{step} has left behind {left}"


def recorded(*_: Any, **__: Any) -> None:
    global arrived
    arrived += 1
    if arrived == ARRIVED:
        die("asking")


def stepped(done: int, *_: Any) -> None:
    if done:
        die("training")


if __name__ == "__main__":
    after(RecordedRun, "begin", begun)
    after(RecordedRun, "end", ended)
    after(Journal, "put", recorded)
    after(Writer, "keep", lambda *_: die("writing"))
    after(launch, "report_progress", stepped)
    main()
