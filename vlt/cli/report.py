"""vlt report: a run as one HTML file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from vlt.cli.options import WORKSPACE, Json, Workspace, open_store
from vlt.cli.output import print_json, say
from vlt.errors import UsageError, UserError


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A recipe's name, or a version such as grpo-model@r2 to report up to its round. "
            "[the newest run]",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE.html",
            help="Where to write it. [the workspace]",
            show_default=False,
        ),
    ] = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Write an HTML report of a run: rounds side by side, data, training, cost, and examples.

    The file is self-contained, so it can be mailed or archived. It may be written while the run is
    going on: it names what is missing.
    """
    from rich.filesize import decimal

    from vlt.report import find, report_html

    file = to or workspace / (f"report-{_file_name(run)}.html" if run else "report.html")
    if file.suffix not in (".html", ".htm") or file.is_dir():
        raise UsageError(f"--to {str(file)!r} is not an HTML file; write --to {file.stem}.html")
    if to and not file.parent.is_dir():
        raise UsageError(
            f"--to {str(file)!r}: there is no folder {str(file.parent)!r}; create it first"
        )
    found = find(open_store(workspace), run)
    _write(report_html(found), file)
    missing = {each.label: each.missing for each in found.rounds if each.missing}
    if as_json:
        print_json(
            {
                "file": str(file),
                "bytes": file.stat().st_size,
                "rounds": [each.number for each in found.rounds if each.number],
                "evaluations": [e.dataset.ref for e in found.evaluations],
                "missing": missing,
                "writing": [name for name, _ in found.writing],
                "unfinished": [name for name, _ in found.unfinished],
            }
        )
        return
    for label, names in missing.items():
        say(f"{label}: not made yet: {', '.join(names)}")
    print(f"{file} ({decimal(file.stat().st_size)})")


def _file_name(run: str) -> str:
    return re.sub(r"[^A-Za-z0-9@._-]+", "-", run)[:100]


def _write(page: str, file: Path) -> None:
    from vlt.workspace.files import write_text

    try:
        write_text(page, file)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {str(file)!r} ({error.strerror}); name another with --to"
        ) from error
