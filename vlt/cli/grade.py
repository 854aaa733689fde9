"""vlt grade: try a grader on responses, or compare two. Nothing is written.

To store verdicts, use `vlt filter DATASET --verify`, which regrades without asking a model.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.options import WORKSPACE, Json, Limit, Workspace, open_store, parse_settings
from vlt.cli.output import print_json, print_table, say
from vlt.cli.progress import watching
from vlt.errors import UsageError
from vlt.plural import plural
from vlt.user_files import read_text

if TYPE_CHECKING:
    from vlt.grade import Grade, Options

# What a JSONL file may call its columns, besides the names that datasets use.
ALIASES = {
    "response": ("completion", "output", "prediction"),
    "answer": ("solution", "gold", "target", "label"),
    "question": ("problem", "query", "prompt"),
    "choices": ("options",),
    "answer_type": (),
    "id": (),
}


def grade(
    responses: Annotated[
        str,
        typer.Argument(
            metavar="RESPONSES.jsonl|DATASET",
            help="JSON lines with response and answer (also question, choices, answer_type, id), or "
            "samples.",
        ),
    ],
    grader: Annotated[
        list[str] | None,
        typer.Option(
            help="vlt, paper, math-verify, or your own: file.py:name; give two to compare."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A convention of vlt's grader: relative_tolerance=0.05.",
        ),
    ] = None,
    n: Annotated[
        int, typer.Option("-n", min=0, help="How many disagreements (or wrong rows) to show.")
    ] = 10,
    limit: Limit = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Count verdicts, and show where two graders disagree."""
    from vlt.grade import grade_many
    from vlt.grade.graders import find_grader
    from vlt.workspace.progress import report_progress

    names = list(dict.fromkeys(grader or ["vlt"]))
    for name in names:
        find_grader(name)
    options = _options(settings or [])
    rows = read_rows(responses, workspace)[:limit]
    graded: dict[str, list[Grade]] = {}
    for name in names:
        say(f"{name}: {plural(len(rows), 'row')}")
        with watching(f"grade by {name}"):
            graded[name] = grade_many(
                [row["response"] or "" for row in rows],
                [row["answer"] or "" for row in rows],
                questions=[row["question"] for row in rows],
                choices=[row["choices"] for row in rows],
                answer_types=[row["answer_type"] for row in rows],
                grader=name,
                options=options,
                on_progress=lambda done: report_progress(done, len(rows)),
            )
    counts = {name: _counts(grades) for name, grades in graded.items()}
    differing = _disagreements(rows, graded)
    if as_json:
        print_json({"rows": len(rows), "graders": counts, "disagreements": differing})
        return
    print_table([{"grader": name, **count} for name, count in counts.items()])
    if len(names) > 1:
        print(f"\n{plural(len(differing), 'disagreement')}")
        print_table([_short(row) for row in differing[:n]])
    elif n:
        print()
        print_table(_not_correct(rows, graded[names[0]], n))


def read_rows(source: str, workspace: Path) -> list[dict[str, Any]]:
    """response, answer, question, choices, answer_type and id of each row of a JSONL file or dataset."""
    if source.endswith((".jsonl", ".json")) or Path(source).is_file():
        return _from_file(Path(source))
    from vlt.workspace.query import rows_of

    dataset = open_store(workspace).open(source)
    if dataset.kind != "sample":
        raise UsageError(
            f"{dataset.ref} holds {dataset.kind}s, which have no responses; "
            "grade samples, or a file of lines with response and answer"
        )
    return rows_of(dataset, columns=", ".join(ALIASES), limit=None)


def _from_file(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UsageError(f"line {number} of {str(path)!r} is not a JSON object")
        row = {name: _first(found, name) for name in ALIASES}
        for name in ("response", "answer"):
            if row[name] is None and not any(key in found for key in (name, *ALIASES[name])):
                raise UsageError(
                    f"line {number} of {str(path)!r} has no {name!r}; it has {', '.join(found)}"
                )
            row[name] = "" if row[name] is None else str(row[name])  # null: an empty response
        row["id"] = number if row["id"] is None else row["id"]
        rows.append(row)
    return rows


def _first(found: Mapping[str, Any], name: str) -> Any:
    return next((found[key] for key in (name, *ALIASES[name]) if found.get(key) is not None), None)


def _options(settings: Sequence[str]) -> Options:
    from vlt.grade import Options

    values = parse_settings(settings)
    known = [field.name for field in fields(Options)]
    for name in values:
        if name not in known:
            raise UsageError(f"--set {name}: there is no such convention; use {', '.join(known)}")
    try:
        return Options(**values)
    except ValueError as error:
        raise UsageError(f"--set {error}") from None


def _counts(grades: Sequence[Grade]) -> dict[str, int]:
    found = Counter(grade.verdict for grade in grades)
    return {verdict: found[verdict] for verdict in ("correct", "wrong", "unjudged")}


def _disagreements(
    rows: Sequence[Mapping[str, Any]], graded: Mapping[str, Sequence[Grade]]
) -> list[dict[str, Any]]:
    found = []
    for i, row in enumerate(rows):
        if len({grades[i].verdict for grades in graded.values()}) > 1:
            found.append(
                {
                    "id": row["id"],
                    "answer": row["answer"],
                    "predicted": next(iter(graded.values()))[i].predicted,
                    **{name: grades[i].verdict for name, grades in graded.items()},
                    "reasons": {name: grades[i].reason for name, grades in graded.items()},
                }
            )
    return found


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _clip(value) for key, value in row.items() if key != "reasons"}


def _not_correct(
    rows: Sequence[Mapping[str, Any]], grades: Sequence[Grade], n: int
) -> list[dict[str, Any]]:
    from vlt.grade.reasons import reason_words

    found = [
        {
            "id": _clip(row["id"]),
            "answer": _clip(row["answer"]),
            "predicted": _clip(grade.predicted),
            "verdict": grade.verdict,
            "reason": reason_words(grade.reason, grade.verdict),
        }
        for row, grade in zip(rows, grades, strict=True)
        if grade.verdict != "correct"
    ]
    return found[:n]


def _clip(value: Any) -> Any:
    text = " ".join(str(value).split())
    return text if len(text) <= 48 else text[:47] + "…"
