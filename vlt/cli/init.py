"""vlt init: a first recipe for the user's own data."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlt.cli.derived import derived
from vlt.cli.options import Json
from vlt.cli.output import plain, print_json, say
from vlt.datagen.import_settings import Import
from vlt.errors import UsageError
from vlt.runs.start import LIKE, STUDENT, Start, next_steps, no_vllm_note

if TYPE_CHECKING:
    from vlt.datagen.sources.look import Looked

NONE = "-"
"""Answer to a question: train no model."""
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
        typer.Option(metavar="RECIPE", help=f"Without DATA: the recipe to copy. [{LIKE}]"),
    ] = None,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the recipe.")] = Path(
        "recipe.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Ask no questions: for scripts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a first recipe, with comments, for your data: inspect it and ask two or three questions.

    Nothing is imported and no model is asked. Without a terminal, or with --yes, it asks no questions
    and prints only the file's name.
    """
    from vlt.runs.draft import of_bundled, of_data

    talks = not (yes or as_json) and sys.stdin.isatty() and sys.stderr.isatty()
    if output.exists() and not force:  # before any question
        raise UsageError(
            f"{str(output)!r} exists already; name another with --output, or overwrite it with "
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
        if looked and (note := no_vllm_note(start)):
            print("\n" + textwrap.fill(note, 100))
        print(f"\nWrote {output}. What to do next:")
        for command, does in next_steps(output, start.data_only):
            print(f"  {command:<40} {does}")
    else:
        print(output)


def _look(
    data: str, what: Import, map_: str | None, like: str | None, talks: bool
) -> tuple[Looked, Import]:
    """What was found, and the import settings it was found with."""
    from vlt.datagen.sources.columns import parse_map
    from vlt.datagen.sources.look import look_at

    if like:
        raise UsageError(
            "--like copies a recipe as it is, so it takes no DATA; leave out one of them"
        )
    what = replace(what, source=data, map=parse_map(map_))
    found = look_at(what)
    if talks:
        for name, says in found.lines():
            say(f"{name:<8}  {plain(says)}")
        say("")
    return found, what


def _asked(start: Start, *, own: bool) -> Start:
    """Ask for the choices that no option has made; `own`: the recipe is for the user's own data."""
    if start.student == STUDENT and not start.data_only:
        text = f"Which model to train (a name on the Hub, a folder; {NONE} for none)"
        answer = _prompt(text if own else "Which model to train", STUDENT)
        data_only = own and answer == NONE
        start = replace(start, data_only=True) if data_only else replace(start, student=answer)
    if not own:
        return start
    if not start.base_url and not start.teacher:
        here = start.serves
        on = "on this machine" if here == "vllm" else "in this process: no vLLM here"
        while True:
            answer = _prompt(f"What writes the reasoning: a server's URL, or {here} ({on})", here)
            if answer == here or answer.startswith(("http://", "https://")):
                break
            say(f"{answer!r} is not a URL; write e.g. http://127.0.0.1:8000/v1, or {here}")
        start = start if answer == here else replace(start, base_url=(answer,))
    if not start.teacher:
        listed = _served(start)
        if len(listed) > 1:
            say(f"it serves {', '.join(listed[:12])}{' ...' if len(listed) > 12 else ''}")
        default = listed[0] if listed else None if start.base_url else start.teacher_name
        start = replace(start, teacher=_prompt("With which model", default))
    return start


def _named(start: Start) -> Start:
    """Fill in the teacher's name if its server serves just one model."""
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
    answer: str = typer.prompt(text, default=default, err=True)
    return answer.strip()
