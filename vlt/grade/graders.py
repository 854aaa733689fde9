"""The graders by name, and user-defined functions as graders.

    def close(response, answer):                    # mine.py; named as mine.py:close
        return abs(float(response.split()[-1]) - float(answer)) < 0.1

A function takes the response, the gold answer and those columns of the row that it has parameters for
(question, choices, answer_type, and all others if rows of a dataset are graded), and returns True or
False, a verdict (correct, wrong, unjudged), None (unjudged), a pair (one of these, the reason), or a
`Grade`. If it raises, the response is unjudged, with the error as the reason; if it returns anything
else, the run ends with an error.

The conventions of vlt's own grader are given in its name: `vlt:relative_tolerance=0.05,percent=loose`
(see `Options`); in Python, an `Options` may be given instead. They are part of the identity.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

from vlt.errors import UsageError, UserError
from vlt.grade.extract import extract
from vlt.grade.verdict import Grade, Options, Verdict
from vlt.plugins import Plugin, blame, entry_points, is_path, of_function, resolve

GRADERS = ("vlt", "paper", "math-verify")
Grader = str | Options | Callable[..., Any]
"""A grader's name: one of GRADERS, vlt:KEY=VALUE, file.py:name, module:name or an entry point of
vlt.graders. In Python also a function."""
VERDICTS = get_args(Verdict)


def find_grader(grader: Grader, more: Sequence[str] = ()) -> Plugin:
    """Resolve a grader's name; raises UsageError if it is unknown.

    Args:
        more: Additional names that the caller knows.
    """
    known = (*GRADERS, *more)
    grader, _ = options_of(grader)
    if callable(grader):
        return of_function(grader, "grader")
    if grader not in known and not is_path(grader) and grader not in entry_points("grader"):
        raise UsageError(
            f"{grader!r} is not a grader; write {', '.join(known)}, or name a function of your own: "
            "file.py:name"
        )
    return resolve(grader, "grader", {name: name for name in known})


def grader_identity(grader: Grader, more: Sequence[str] = ()) -> Any:
    """The grader's part in a stage's identity: its name, with the source's digest if user-defined."""
    plugin = find_grader(grader, more)
    _, options = options_of(grader)
    if options and options.as_json():
        return {"name": plugin.name, **options.as_json()}
    return dict(plugin.identity) or plugin.name


def options_of(grader: Grader) -> tuple[str | Callable[..., Any], Options | None]:
    """Split a grader's name into the bare name and its conventions; None if it has none.

    Raises UsageError for an unknown convention or an invalid value.
    """
    if isinstance(grader, Options):
        return "vlt", grader
    if not isinstance(grader, str) or not grader.startswith("vlt:"):
        return grader, None
    try:
        return "vlt", Options.read(grader.removeprefix("vlt:"))
    except ValueError as error:
        raise UsageError(f"{grader!r}: {error}") from None


def own_grades(
    plugin: Plugin,
    responses: Sequence[str],
    answers: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
) -> list[Grade]:
    """The grades by a user-defined function; see above."""
    taken = {name: columns[name] for name in columns_of(plugin, columns)}
    grades = []
    for place, (response, answer) in enumerate(zip(responses, answers, strict=True)):
        row = {name: values[place] for name, values in taken.items()}
        try:
            said = plugin.object(response, answer, **row)
        except (Exception, SystemExit) as error:
            reason = f"{plugin.name} raised {blame(error, _file(plugin))}"
            grades.append(Grade("unjudged", extract(response), reason))
            continue
        grades.append(_grade(plugin, said, response))
    return grades


def columns_of(plugin: Plugin, offered: Iterable[str]) -> list[str]:
    """The columns that the function has parameters for, besides response and answer."""
    try:
        parameters = list(inspect.signature(plugin.object).parameters.values())[2:]
    except (TypeError, ValueError):
        return []
    names = [name for name in offered if name not in ("response", "answer")]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return names
    takes = {p.name for p in parameters}
    return [name for name in names if name in takes]


def _grade(plugin: Plugin, said: Any, response: str) -> Grade:
    reason = plugin.name
    if isinstance(said, Grade):
        return said
    word = said
    if isinstance(said, tuple) and len(said) == 2 and isinstance(said[1], str):
        word, reason = said
    if hasattr(word, "item"):  # of NumPy
        word = word.item()
    if isinstance(word, bool):
        return Grade("correct" if word else "wrong", extract(response), reason)
    if word is None:
        return Grade("unjudged", extract(response), reason)
    if isinstance(word, str) and word in VERDICTS:
        return Grade(word, extract(response), reason)  # type: ignore[arg-type]
    looks = " ".join(repr(said).split())
    raise UserError(
        f"the grader {plugin.source} returned {looks[:60]} (of type {type(said).__name__}); return True or "
        f"False, {', '.join(VERDICTS)}, or a pair of one of these and a reason"
    )


def _file(plugin: Plugin) -> str | None:
    try:
        return inspect.getsourcefile(inspect.unwrap(plugin.object))
    except TypeError:
        return None
