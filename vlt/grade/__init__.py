"""One function decides whether a response is right: the filter, the reward and the benchmarks ask it.

    grade("<think>...</think> <answer>2/4</answer>", "\\\\frac{1}{2}").verdict == "correct"

docs/grading.md says what counts as right, with a table of examples that a test runs: where an answer
stands, what of it is the answer and what explains it, when it is hedged, and every convention of
numbers, units, choices, equations and texts. `Options` are the debatable ones.

How it is found
===============
`extract` finds where the answer stands (`blocks`, `phrases`), `commit` what of it is the answer. Then
`clean`, and `choices` or `judge`: `quantity`, `times`, `equations`, `collected`, `words`. Whether two
expressions are equal is decided by `equality` (exact arithmetic of our own, then a search for a point
where they differ) and at last by `symbolic`, a worker process with mpmath (`precise`). Text is parsed
by our own bounded parsers only; nothing is given to eval, exec, sympify or parse_expr. Everything
before the worker is pure Python from the standard library, linear or bounded, and holds no state but
caches of pure functions.

An adversary searches for responses that are right for two golds, or for one that they do not commit
themselves to: `make bench-grade ATTACK=1` (`benchmarks/grade_attack.py`).

math-verify is no tier: it drops units and hedges, and its parser has no bounds. It is a grader to
compare with, as is upstream's rule: `grade_many(..., grader="paper" | "math-verify")`, and a grader
of one's own: `vlt/grade/graders.py`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from vlt.grade.extract import extract, split_reasoning
from vlt.grade.grader import answer_type_of, grade
from vlt.grade.graders import GRADERS
from vlt.grade.many import grade_many
from vlt.grade.verdict import Grade, Options

__all__ = [
    "GRADERS",
    "Grade",
    "Options",
    "answer_type_of",
    "extract",
    "grade",
    "grade_many",
    "split_reasoning",
]


class _Callable(ModuleType):
    """`vlt.grade(response, gold)` and `import vlt.grade` are one name: the package can be called."""

    def __call__(self, *arguments: Any, **options: Any) -> Grade:
        return grade(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
