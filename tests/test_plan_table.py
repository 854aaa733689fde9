"""A run on a terminal: the plan as a table, whatever the terminal's size and however the run ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.terminal import on_terminal, opened, without_colours

RUN = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from vlt.cli.output import say
from vlt.cli.plan_lines import PlanLines
from vlt.cli.plan_table import PlanTable, fits
from vlt.workspace.progress import report_progress, tracked

root, steps, how = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

@dataclass
class Step:
    round: int
    name: str
    what: str = "of [bold]two models"
    earlier: bool = False
    key = property(lambda self: (self.round, self.name))

def made(kind, rows, facts, failed=None):
    m = SimpleNamespace(kind=kind, rows=rows, facts=facts, failed=failed or {}, dropped={}, seconds=1.0,
                        ref="x@v1")
    return SimpleNamespace(manifest=m, ref="x@v1")

names = ("samples", "grpo-model", "grpo-model", "eval-grpo")
plan = [Step(0, "heldout"), *(Step(1, name) for name in names)]
plan += [Step(2, f"step-{n}") for n in range(steps)]
shown = (PlanTable if fits() else PlanLines)(plan)
with shown:
    shown.begin(plan[0]); shown.end(plan[0], made("item", 1000, {}), True)
    shown.begin(plan[1])
    with tracked(root, "samples", "sample", "gen"):
        report_progress(30, 120, "samples", 2.0)
        shown.progress("30/120 samples [bold] \\x1b[31m")
        time.sleep(1.2)
        say("a word of advice")
        print("a result")
        if how == "fails":
            raise SystemExit("it failed")
        if how == "waits":
            print("waiting", file=sys.stderr, flush=True)
            time.sleep(60)
    shown.end(plan[1], made("sample", 118, {}, {"refused": 2}), False)
    shown.begin(plan[2]); shown.end(plan[2], made("checkpoint", 0, {"steps": 40}), False)
    shown.begin(plan[3]); shown.end(plan[3], made("checkpoint", 0, {"steps": 20}), False)
    score = {"value": 0.745, "low": 0.717, "high": 0.771, "n": 1000}
    shown.begin(plan[4]); shown.end(plan[4], made("sample", 1000, {"accuracy": score}), False)
say("the end")
"""


def table(shown: str) -> list[str]:
    """The lines of the table that is left at the end."""
    return shown[shown.rindex("round  step") :].splitlines()


@pytest.mark.parametrize(("columns", "steps"), [(80, 2), (160, 2), (80, 60)])
def test_the_table_moves_while_it_lasts_and_stays(columns: int, steps: int, tmp_path: Path) -> None:
    written = on_terminal(columns, "-c", RUN, tmp_path, steps, "ends")
    shown = without_colours(written)
    assert max(len(part) for part in re.split(r"[\r\n]", shown)) <= columns
    moving = shown[: shown.rindex("round  step")]
    assert "running  30/120 samples" in moving
    assert "45 s" in moving
    assert ("2/s" in moving) == ("━" in moving) == (columns >= 100)
    assert "\x1b[31m" not in written.replace("\x1b[1;31m", "")
    assert shown.count("a word of advice\n") == shown.count("a result\n") == 1
    if steps > 20:  # of 65 steps a terminal of 24 lines is shown those around the present one
        assert f"... {steps + 5 - 18} after" in moving
    *rows, end = table(shown)
    assert end == "the end"
    assert len(rows) == 1 + 5 + steps, "the whole plan"
    states = [row.split()[-1] if "skipped" in row else row for row in rows]
    assert states[6:] == ["skipped"] * steps
    assert re.search(r"heldout +there +1,000 items", rows[1])
    assert re.search(r"1  samples +done +118 samples, 2 failed +1 s", rows[2])
    assert [re.search(r"(\d+) steps", row)[1] for row in rows[3:5]] == ["40", "20"]  # type: ignore[index]
    assert ("74.5 % [71.7, 77.1]" in rows[5]) == (columns >= 100)
    assert "74.5 %" in rows[5]
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_a_run_that_fails_shows_where(tmp_path: Path) -> None:
    written = on_terminal(80, "-c", RUN, tmp_path, 0, "fails", code=1)
    rows = table(without_colours(written))
    assert re.search(r"1  samples +failed", rows[2])
    assert re.search(r"grpo-model +waiting", rows[3])
    assert rows[-1] == "it failed"


def test_narrow_terminals_and_files_get_plain_lines(tmp_path: Path) -> None:
    narrow = without_colours(on_terminal(70, "-c", RUN, tmp_path, 0, "ends"))
    assert "[ 2/5] round 1 samples: of [bold]two models" in narrow
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path), "0", "ends"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "a result\n"
    assert done.stderr.splitlines() == [
        "[ 1/5] heldout: of [bold]two models",
        "        x@v1: 1,000 items (already there, nothing to do)",
        "[ 2/5] round 1 samples: of [bold]two models",
        "a word of advice",
        "        x@v1: 118 samples, 2 failed (1.0 s)",
        "[ 3/5] round 1 grpo-model: of [bold]two models",
        "        x@v1: checkpoint (1.0 s)",
        "[ 4/5] round 1 grpo-model: of [bold]two models",
        "        x@v1: checkpoint (1.0 s)",
        "[ 5/5] round 1 eval-grpo: of [bold]two models",
        "        x@v1: 1,000 samples (1.0 s), accuracy 74.5 % [71.7, 77.1]",
        "the end",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_kill_leave_a_cursor(number: signal.Signals, tmp_path: Path) -> None:
    with opened(80, "-c", RUN, tmp_path, 0, "waits") as (process, read):
        written = read(until="waiting")
        time.sleep(0.6)
        os.kill(process.pid, number)
        process.wait(20)
        written += read()
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    if number == signal.SIGINT:
        assert re.search(r"samples +interrupted", without_colours(written))


def test_resizing_while_it_runs(tmp_path: Path) -> None:
    import fcntl
    import struct
    import termios

    with opened(160, "-c", RUN, tmp_path, 30, "waits") as (process, read):
        written = read(until="waiting")
        fcntl.ioctl(read.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 70, 0, 0))
        time.sleep(1.5)
        os.kill(process.pid, signal.SIGINT)
        process.wait(20)
        after = without_colours(read())
    assert "rate" in without_colours(written)
    frames = after.split("round  step")[2:]  # the first may have been drawn before
    assert frames
    assert all(len(line) <= 70 for frame in frames for line in re.split(r"[\r\n]", frame))
