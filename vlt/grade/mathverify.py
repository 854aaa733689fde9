"""math-verify as a grader, to compare with: `--grader math-verify`. An optional package.

math-verify parses LaTeX with a grammar and passes text to sympy, and its own time limit is SIGALRM.
So it never runs in this process: a worker with a memory limit runs it, without its time limit, and
the parent enforces the deadline. It is given what our own extraction found, in a `\\boxed{}`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from vlt.errors import UserError
from vlt.grade.extract import extract
from vlt.grade.verdict import STRICT, Grade, Options

_local = threading.local()


def grade_by_math_verify(
    response: str,
    answer: str,
    *,
    question: str | None = None,  # noqa: ARG001
    choices: Sequence[str] | None = None,  # noqa: ARG001
    answer_type: str | None = None,  # noqa: ARG001
    options: Options = STRICT,
) -> Grade:
    """`grade` by math-verify's `verify(parse(gold), parse(answer))`."""
    from importlib.util import find_spec

    from vlt.grade.symbolic import Late, Worker

    if find_spec("math_verify") is None:
        raise UserError("the grader math-verify needs its package: pip install math-verify")
    predicted = extract(response)
    if not answer.strip():
        return Grade("unjudged", predicted, "no gold answer")
    if predicted is None:
        return Grade("wrong", None, "no final answer")
    for _ in range(2):
        worker: Worker | None = getattr(_local, "worker", None)
        fresh = worker is None or worker.process.poll() is not None
        if fresh:
            worker = _local.worker = Worker("math-verify")
        assert worker is not None
        try:
            verdict = worker.ask(
                {"gold": answer, "predicted": predicted}, max(2.0, options.deadline)
            )
        except Late:
            _local.worker = None
            if fresh:
                break
            continue
        if verdict is None:
            return Grade("unjudged", predicted, "math-verify failed")
        return Grade("correct" if verdict else "wrong", predicted, "math-verify")
    return Grade("unjudged", predicted, "math-verify ran out of time")
