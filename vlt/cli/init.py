"""vlt init: a first recipe for one's own data."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlt.cli.derived import derived
from vlt.cli.options import Json
from vlt.cli.output import plain, print_json, say
from vlt.datagen.import_settings import Import
from vlt.errors import UsageError
from vlt.runs.start import LIKE, STUDENT, Start, next_steps

if TYPE_CHECKING:
    from vlt.datagen.sources.look import Looked

NONE, HERE = "-", "vllm"
"""Answers: no model is trained; vLLM is started on this machine."""
Data = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="Your questions, as `vlt import` takes them. [a bundled recipe is copied]",
    ),
]


@derived(leave_out=("kind", "seed", "unlabelled"), start=Start, what=Import(source=""))
def init(
    data: Data = None,
    *,
    start: Start,
    what: Import,
    map_: Annotated[
        str | None,
        typer.Option("--map", help="Columns that cannot be guessed: question=problem,image=pic"),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help=f"Without DATA: the recipe that is copied. [{LIKE}]"),
    ] = None,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The recipe.")] = Path("recipe.yaml"),
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Ask nothing, say nothing: for scripts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a first recipe, with comments, for your data: look at them, ask two or three questions.

    Nothing is imported and no model is asked. Where no terminal is, or with --yes, it asks nothing, and
    prints the file's name alone.
    """
    from vlt.runs.draft import of_bundled, of_data

    talks = not (yes or as_json) and sys.stdin.isatty() and sys.stderr.isatty()
    if output.exists() and not force:  # before any question
        raise UsageError(
            f"{str(output)!r} is there already; name another with --output, or write over it with "
            "--force"
        )
    looked = _look(data, what, map_, like, talks) if data else None
    if talks:
        start = _asked(start, own=looked is not None)
    if looked:
        draft = of_data(looked[0], looked[1], _named(start), output)
    else:
        draft = of_bundled(like or LIKE, start, output)
    draft.write(force=force)
    if as_json:
        print_json({"recipe": str(output), "data": looked[0].as_json() if looked else None})
    elif talks:
        print(f"\n{output} is written. What to do next:")
        for command, does in next_steps(output, start.data_only):
            print(f"  {command:<40} {does}")
    else:
        print(output)


def _look(
    data: str, what: Import, map_: str | None, like: str | None, talks: bool
) -> tuple[Looked, Import]:
    """What was found, and the import that it is of."""
    from vlt.datagen.sources.columns import parse_map
    from vlt.datagen.sources.look import look_at

    if like:
        raise UsageError(
            "--like copies a recipe as it is, and goes without DATA; leave out one of them"
        )
    what = replace(what, source=data, map=parse_map(map_))
    found = look_at(what)
    if talks:
        for name, says in found.lines():
            say(f"{name:<8}  {plain(says)}")
        say("")
    return found, what


def _asked(start: Start, *, own: bool) -> Start:
    """The choices that no option has made; `own`: the recipe is for data of the user's."""
    if start.student == STUDENT and not start.data_only:
        text = f"Which model is trained (a name on the Hub, a folder; {NONE} for none)"
        said = _prompt(text if own else "Which model is trained", STUDENT)
        start = (
            replace(start, data_only=True) if own and said == NONE else replace(start, student=said)
        )
    if not own:
        return start
    if not start.base_url and not start.teacher:
        said = HERE
        while True:
            said = _prompt(
                "Who writes the reasoning: a server's URL, or vllm on this machine", HERE
            )
            if said == HERE or said.startswith(("http://", "https://")):
                break
            say(f"{said!r} is no URL; write e.g. http://127.0.0.1:8000/v1, or {HERE}")
        start = start if said == HERE else replace(start, base_url=(said,))
    if not start.teacher:
        listed = _served(start)
        if len(listed) > 1:
            say(f"it serves {', '.join(listed[:12])}{' ...' if len(listed) > 12 else ''}")
        default = listed[0] if listed else None if start.base_url else start.teacher_name
        start = replace(start, teacher=_prompt("By which model", default))
    return start


def _named(start: Start) -> Start:
    """With the teacher's name where its server serves just one."""
    if start.teacher or not start.base_url:
        return start
    listed = _served(start)
    if len(listed) == 1:
        return replace(start, teacher=listed[0])
    if listed:
        raise UsageError(
            f"{start.base_url[0]} serves {', '.join(listed[:8])}; name one with --teacher MODEL"
        )
    return start


def _served(start: Start) -> list[str]:
    from vlt.doctor.servers import served

    return served(start.base_url[0]) if start.base_url else []


def _prompt(text: str, default: str | None) -> str:
    said: str = typer.prompt(text, default=default, err=True)
    return said.strip()
