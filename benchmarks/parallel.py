"""What a benchmark's jobs cost with as many processes as cores, compared with one."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.measured import run_measured
from vlt.cores import VARIABLE, usable_cores


def beside_one(module: str, jobs: Sequence[str], arguments: Sequence[str]) -> None:
    """Print what `python -m MODULE --job JOB` costs with one process and with all cores.

    Whole commands, including start-up and imports, with all their processes: "cores" is CPU seconds
    divided by wall seconds, "MB" the sum of the processes' peaks.
    """
    print(
        f"{'job':28} {'processes':>9} {'CPU s':>7} {'wall s':>7} {'cores':>6} {'MB':>6}  all / one"
    )
    for job in jobs:
        command = [sys.executable, "-m", module, "--job", job, *arguments]
        one = run_measured(command, {VARIABLE: "1"}, quiet=True)
        most = usable_cores()
        all_ = run_measured(command, {VARIABLE: str(most)}, quiet=True)
        beside = f"CPU {all_.cpu / one.cpu:.2f}, wall {all_.seconds / one.seconds:.2f}"
        for count, cost, said in ((1, one, ""), (most, all_, beside)):
            print(
                f"{job if count == 1 else '':28} {count:9} {cost.cpu:7.2f} {cost.seconds:7.2f} "
                f"{cost.cpu / cost.seconds:6.2f} {cost.megabytes:6.0f}  {said}",
                flush=True,
            )
