"""`grade_many`: grade columns, on all cores if there are enough rows to make it worthwhile.

The other processes are fresh interpreters (see `symbolic.Worker`), so this may be called from a
process that uses torch, threads or a GPU. Verdicts do not depend on the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from vlt.cores import processes
from vlt.grade.extract import split_reasoning
from vlt.grade.grader import grade
from vlt.grade.graders import Grader, find_grader, options_of, own_grades
from vlt.grade.verdict import STRICT, Grade, Options

CHUNK = 1000
PARALLEL_FROM = 20_000
"""Fewer rows than this are graded in this process: starting others would take longer."""
CHUNK_SECONDS = 600.0

Row = tuple[str, str, str | None, Sequence[str] | None, str | None]


def grade_many(
    responses: Sequence[str],
    answers: Sequence[str],
    *,
    questions: Sequence[str | None] | None = None,
    choices: Sequence[Sequence[str] | None] | None = None,
    answer_types: Sequence[str | None] | None = None,
    grader: Grader = "vlt",
    options: Options = STRICT,
    workers: int | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[Grade]:
    """`grade` for every row of equally long columns, in order.

    `grader` is vlt, paper (upstream's rule, see `vlt/grade/paper.py`), math-verify (to compare with) or
    user-defined (see `vlt/grade/graders.py`), which grades in this process. `workers` is the maximum number
    of processes; None means the setting (vlt.cores); with 1, or few rows, only this process is used.
    `on_progress` is called now and then with the number of rows graded.
    """
    columns: list[Sequence[Any] | None] = [responses, answers, questions, choices, answer_types]
    for name, column in zip(
        ("answers", "questions", "choices", "answer_types"), columns[1:], strict=True
    ):
        if column is not None and len(column) != len(responses):
            raise ValueError(f"{len(column)} {name} for {len(responses)} responses")
    grader, given_options = options_of(grader)
    options = given_options or options
    plugin = find_grader(grader)
    if plugin.identity:
        given = {"question": questions, "choices": choices, "answer_type": answer_types}
        nothing = [None] * len(responses)
        return own_grades(plugin, responses, answers, {k: v or nothing for k, v in given.items()})
    grader = plugin.name
    rows = [
        tuple(column[i] if column is not None else None for column in columns)
        for i in range(len(responses))
    ]
    count = workers if workers is not None else processes()
    if count <= 1 or len(rows) < (PARALLEL_FROM if workers is None else 2 * count):
        return list(_counted(rows, lambda some: _grade_rows(some, grader, options), on_progress))
    size = max(1, min(CHUNK, -(-len(rows) // (2 * count))))
    chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
    return _in_processes(chunks, grader, options, min(count, len(chunks)), on_progress)


def _counted(
    rows: Sequence[Sequence[Any]],
    graded: Callable[[Sequence[Sequence[Any]]], list[Grade]],
    on_progress: Callable[[int], None],
) -> Iterator[Grade]:
    for start in range(0, len(rows), CHUNK):
        yield from graded(rows[start : start + CHUNK])
        on_progress(min(len(rows), start + CHUNK))


def _grade_rows(rows: Sequence[Sequence[Any]], grader: str, options: Options) -> list[Grade]:
    one = grader_named(grader)
    return [
        one(
            response or "",
            answer or "",
            question=question,
            choices=choices,
            answer_type=answer_type,
            options=options,
        )
        for response, answer, question, choices, answer_type in rows
    ]


def grader_named(name: str) -> Callable[..., Grade]:
    """The function that grades one row for a grader's name."""
    if name == "paper":
        from vlt.grade.paper import grade_as_paper

        return grade_as_paper
    if name == "math-verify":
        from vlt.grade.mathverify import grade_by_math_verify

        return grade_by_math_verify
    return grade


def _in_processes(
    chunks: list[list[tuple[Any, ...]]],
    grader: str,
    options: Options,
    count: int,
    on_progress: Callable[[int], None],
) -> list[Grade]:
    """Grade chunks in `count` processes; a chunk whose process dies is graded here."""
    from concurrent.futures import ThreadPoolExecutor

    from vlt.grade.symbolic import Late, Worker

    idle: list[Worker] = []
    settings = {"grader": grader, "options": asdict(options)}

    def one(chunk: list[tuple[Any, ...]]) -> list[Grade]:
        if grader == "vlt":  # the other graders do not need the reasoning
            chunk = [(split_reasoning(row[0] or "")[1], *row[1:]) for row in chunk]
        try:
            worker = idle.pop() if idle else Worker("grade")
            found = worker.ask({**settings, "rows": chunk}, CHUNK_SECONDS)
        except (Late, OSError):
            return _grade_rows(chunk, grader, options)
        idle.append(worker)
        return [Grade(*row) for row in found]

    try:
        with ThreadPoolExecutor(count) as threads:
            found: list[Grade] = []
            for graded in threads.map(one, chunks):
                found += graded
                on_progress(len(found))
            return found
    finally:
        for worker in idle:
            worker.kill()


def grade_chunk(question: dict[str, Any]) -> list[Grade]:
    """The other end of `_in_processes`, in `vlt.grade.worker`."""
    return _grade_rows(question["rows"], question["grader"], Options(**question["options"]))
