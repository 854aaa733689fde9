"""Puts the commands together and turns errors into one sentence and an exit code."""

from __future__ import annotations

import errno
import sys

import typer

from vlt.cli import (
    data,
    dedup,
    diff,
    eval,
    export,
    filter,
    gen,
    grade,
    hub,
    look,
    report,
    run,
    stats,
    status,
    train,
    view,
)
from vlt.cli.output import FAILED, INTERRUPTED, say
from vlt.errors import UserError

app = typer.Typer(
    name="vlt",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Verified chain-of-thought data for vision-language models, and the loop that improves both.",
)
app.command("demo")(run.demo)
app.command("run")(run.run)
app.command("import")(data.import_)
app.command("sources")(data.sources)
app.command("export")(export.export)
app.command("push")(hub.push)
app.command("pull")(hub.pull)
app.add_typer(gen.app, name="gen")
app.command("grade")(grade.grade)
app.command("filter")(filter.filter_)
app.command("dedup")(dedup.dedup)
app.command("decontaminate")(dedup.decontaminate)
app.command("eval")(eval.eval_)
app.add_typer(train.app, name="train")
app.command("stats")(stats.stats)
app.command("report")(report.report)
app.command("ls")(look.ls)
app.command("show")(look.show)
app.command("view")(view.view)
app.command("log")(look.log)
app.command("diff")(diff.diff)
app.command("status")(status.status)

GO_ON = "vlt: interrupted; the same command goes on from here and asks for nothing twice"


def main() -> None:
    """The console script `vlt`; --debug, anywhere, shows the traceback of an error."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except UserError as error:
        if debug:
            raise
        say(f"vlt: {error}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        say(GO_ON)
        raise SystemExit(INTERRUPTED) from None
    except SystemExit as end:  # typer ends so on ctrl-C, without a word
        if end.code == INTERRUPTED:
            say(GO_ON)
        raise
    except OSError as error:
        if debug or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        say("vlt: the disk is full; make room and run the same command again to go on")
        raise SystemExit(FAILED) from None


if __name__ == "__main__":
    main()
