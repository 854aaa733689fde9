"""Registers the commands, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from vlt.cli import (
    arms,
    data,
    dedup,
    diff,
    doctor,
    eval,
    export,
    filter,
    gen,
    grade,
    hub,
    init,
    judge,
    label,
    look,
    report,
    run,
    schema,
    stats,
    status,
    train,
    view,
)
from vlt.cli.groups import Commands
from vlt.cli.options import WORKSPACE_OPTION, keep_workspace
from vlt.cli.output import FAILED, INTERRUPTED, say
from vlt.errors import UserError

WIDTH = 160
"""Columns that help is wrapped at; a narrower terminal wraps it sooner."""

app = typer.Typer(
    name="vlt",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
    help="Verified chain-of-thought data for vision-language models, and the loop that improves both.",
)

app.command("demo")(run.demo)
app.command("init")(init.init)
app.command("doctor")(doctor.doctor)
app.command("run")(run.run)
app.command("schema")(schema.schema)
app.command("import")(data.import_)
app.command("sources")(data.sources)
app.command("dedup", cls=dedup.Dedup)(dedup.dedup)
app.command("decontaminate", cls=dedup.Decontaminate)(dedup.decontaminate)
app.add_typer(gen.app, name="gen", cls=Commands)
app.command("filter", cls=filter.Command)(filter.filter_)
app.command("judge")(judge.judge)
app.command("label")(label.label)
app.command("grade")(grade.grade)
app.add_typer(train.app, name="train")
app.command("eval")(eval.eval_)
app.command("compare")(arms.compare)
app.command("ls")(look.ls)
app.command("show")(look.show)
app.command("stats")(stats.stats)
app.command("log")(look.log)
app.command("diff")(diff.diff)
app.command("status")(status.status)
app.command("view")(view.view)
app.command("report")(report.report)
app.command("push")(hub.push)
app.command("pull")(hub.pull)
app.command("export")(export.export_)

GO_ON = "vlt: interrupted; the same command resumes from here and asks for nothing twice"


def _print_version(wanted: bool) -> None:
    if wanted:
        from vlt import __version__

        print(f"vlt {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    workspace: Annotated[Path | None, WORKSPACE_OPTION] = None,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[  # noqa: ARG001
        bool,
        typer.Option("--debug", help="Show the traceback of an error (also after the command)."),
    ] = False,
) -> None:
    # The options before the command; `main` has already removed --debug. No docstring: it would become
    # the program's description.
    keep_workspace(context, workspace)


def main() -> None:
    """The console script `vlt`; --debug, anywhere, shows the traceback of an error."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app(prog_name="vlt")
    except UserError as error:
        if debug:
            raise
        say(f"vlt: {error}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        say(GO_ON)
        raise SystemExit(INTERRUPTED) from None
    except SystemExit as end:  # how typer exits on ctrl-C, silently
        if end.code == INTERRUPTED:
            say(GO_ON)
        raise
    except OSError as error:
        sentence = _of_system(error)
        if debug or sentence is None:
            raise
        say(f"vlt: {sentence}")
        raise SystemExit(FAILED) from None


def _of_system(error: OSError) -> str | None:
    """The message for an error of the disk or its permissions, else None."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; make room and run the same command again to go on"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and error.filename is not None:
        return (
            f"{str(error.filename)!r} cannot be opened or written ({error.strerror}); check its "
            "permissions, or name another place (-w for the workspace)"
        )
    return None


if __name__ == "__main__":
    main()
