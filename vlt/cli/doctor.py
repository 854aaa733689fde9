"""vlt doctor: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vlt.cli.derived import derived
from vlt.cli.options import WORKSPACE, Json, Ray, Workspace
from vlt.cli.output import FAILED, plain, print_json, say
from vlt.engine.model import Model
from vlt.plural import plural

if TYPE_CHECKING:
    from vlt.doctor.finding import Finding

COLOURS = {"ok": "32", "warning": "33", "broken": "31"}
NOT_HERE = ("revision", "engine", "pixels", "concurrency", "timeout", "vllm_args")
Recipe = Annotated[
    str | None,
    typer.Argument(help="A recipe: its models, files, servers and packages are checked, too."),
]


@derived(leave_out=NOT_HERE, model=Model(""))
def doctor(
    recipe: Recipe = None,
    *,
    model: Model,
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Check this machine: Python, packages, GPU, memory, disk, vLLM, the Hub, servers. With --ray also the
    cluster: nodes, cores, GPUs, version mismatches, and whether every node sees the workspace's disk.

    One line each: ok, a warning, or what is broken and how to fix it. Nothing is written (with --ray one
    small file, which is removed), and no model is asked. The exit code is 1 if something is broken.
    """
    from vlt.doctor.examine import examine

    found = examine(workspace, recipe, model)
    counts = Counter(finding.state for finding in found)
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        for line in lines(found):
            print(line)
    wrong = [f"{counts['broken']} broken"] if counts["broken"] else []
    wrong += [plural(counts["warning"], "warning")] if counts["warning"] else []
    say(f"\n{', '.join(wrong)}" if wrong else "\nno problems found")
    if counts["broken"]:
        raise typer.Exit(FAILED)


def lines(found: list[Finding]) -> list[str]:
    """State, subject and message of each finding; on a terminal wrapped, with the state coloured."""
    terminal = sys.stdout.isatty()
    states, things = max(map(len, COLOURS)), max(len(finding.what) for finding in found)
    head = states + things + 4
    room = max(30, shutil.get_terminal_size().columns - head) if terminal else 10_000
    made = []
    for finding in found:
        first, *rest = textwrap.wrap(plain(finding.line), room, break_on_hyphens=False) or [""]
        state = f"{finding.state:<{states}}"
        if terminal:
            state = f"\x1b[{COLOURS[finding.state]}m{state}\x1b[0m"
        made.append(f"{state}  {finding.what:<{things}}  {first}")
        made += [f"{'':<{head}}{line}" for line in rest]
    return made
