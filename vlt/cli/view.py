"""vlt view: show a dataset on a local web page."""

from __future__ import annotations

from typing import Annotated

import typer

from vlt.cli.options import WORKSPACE, Workspace, complete_datasets, open_store
from vlt.cli.output import say


def view(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            help="name, name@v3 or name@r2. [the newest]",
            autocompletion=complete_datasets,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, show_default=False, help="0 for any free one. [8642 if free]"
        ),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
    workspace: Workspace = WORKSPACE,
) -> None:
    """Look at rows in the browser: images, responses, verdicts, what was dropped and why.

    Your marks (a: accept, f: flag) are kept in the workspace's flags.parquet, and
    `vlt filter --drop-flagged` drops the flagged rows.
    """
    from vlt.cli.lean import lean_arrow

    lean_arrow()
    from vlt.view.serve import serve

    store = open_store(workspace)
    if dataset:
        store.open(dataset)
    serve(workspace, dataset, port, browser=not no_open, say=say)
