"""What the commands that ask a model have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlt.cli.lean import lean_arrow
from vlt.cli.options import dataset_or_newest
from vlt.cli.output import describe, exit_code, plain, print_json, say
from vlt.cli.progress import Progress
from vlt.errors import UsageError
from vlt.plural import plural

if TYPE_CHECKING:
    from vlt.datagen.asking import Asking
    from vlt.engine.model import Model
    from vlt.workspace.store import Dataset
    from vlt.workspace.workspace import Workspace

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be asked; make nothing.")]
Probe = Annotated[
    int,
    typer.Option(
        min=0, help="With --dry-run: ask this many rows, and estimate the cost of the rest."
    ),
]
Make = Callable[["Workspace", "Dataset", "Model", "Asking"], "tuple[Dataset, bool]"]
"""Makes the version; returns it, and whether it existed already."""


def open_workspace(root: Path, progress: Progress | None = None) -> Workspace:
    """Open the workspace for a command that asks models: with progress, and a clean end on SIGTERM."""
    lean_arrow()
    from vlt.engine.interrupt import end_on_sigterm
    from vlt.workspace.workspace import Workspace

    end_on_sigterm()
    progress = progress or Progress()

    def notice(sentence: str) -> None:
        progress.done()  # the notice stays, above the progress line
        say(f"  {sentence}")

    return Workspace(root, progress, notice)


def ask_model(
    make: Make,
    workspace: Workspace,
    rows: Dataset,
    model: Model,
    asking: Asking,
) -> tuple[Dataset, bool]:
    """Make the version, and clear the progress line."""
    try:
        return make(workspace, rows, model, asking)
    finally:
        clear(workspace)


def clear(workspace: Workspace) -> None:
    """Clear the progress line, so that the next output starts on an empty line."""
    if isinstance(workspace.progress, Progress):
        workspace.progress.done()


def generate(
    make: Make,
    root: Path,
    ref: str | None,
    parent: tuple[str, str],
    model: Model,
    asking: Asking,
    *,
    dry_run: bool,
    probe: int,
    as_json: bool,
) -> None:
    """Ask the model about the dataset `ref`, or the newest of its kind, and print the outcome.

    `parent` is that kind, and the command that makes one.
    """
    from vlt.datagen.estimate import Planned

    if probe and not dry_run:
        raise UsageError("--probe needs --dry-run; to ask only some of the rows, use --limit")
    with open_workspace(root) as workspace:
        rows = dataset_or_newest(workspace, ref, *parent)
        asking = replace(asking, probe=probe if dry_run else None)
        try:
            made = ask_model(make, workspace, rows, model, asking)
        except Planned as planned:
            price = asking.price(model)
            if as_json:
                print_json(planned.plan.summary(price))
            else:
                print("\n".join(planned.plan.lines(price)))
            return
    report(*made, as_json)


def report(dataset: Dataset, existed: bool, as_json: bool) -> None:
    """Print the outcome: the version on stdout; tokens, cost and failures on stderr."""
    m = dataset.manifest
    if as_json:
        fields = ("name", "version", "kind", "rows", "failed", "prompt_tokens", "completion_tokens")
        values = {field: getattr(m, field) for field in (*fields, "money", "seconds")}
        print_json({**values, "existed": existed})
    else:
        print(describe(dataset, existed=existed))
    if m.completion_tokens and not existed:
        money = "" if m.money is None else f", ${m.money:,.4f}"
        say(f"  {m.prompt_tokens:,} prompt and {m.completion_tokens:,} completion tokens{money}")
    elif m.rows and not existed:
        say("  the server did not report how many tokens were used")
    if cut := m.facts.get("cut"):
        say(
            f"  {cut:,} of {plural(m.rows, 'response')} ({cut / m.rows:.0%}) were cut off at "
            "--max-tokens; `vlt filter` drops them"
        )
    examples = m.facts.get("failure_examples", {})
    for reason, count in m.failed.items():
        say(f"  {count:,} failed: {plain(examples.get(reason, reason))}")
    if m.failed:
        say(f"  see them with `vlt show {dataset.ref} --dropped`; --retry-failed asks them again")
        raise typer.Exit(exit_code(dataset))
