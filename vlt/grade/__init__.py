"""One function decides whether a response is correct, for the filter, the reward and the benchmarks.

    grade("<think>...</think> <answer>2/4</answer>", "\\\\frac{1}{2}").verdict == "correct"

docs/grading.md says what counts as correct, with tables of examples that a test runs: where the answer is
found, which part is the answer and which explains it, when it is hedged, and every convention for
numbers, units, choices, equations and texts. `Options` are the debatable ones.

How a verdict is found
======================
`extract` locates the answer (`blocks`, `phrases`), `commit` decides which part of it is the answer. Then
`clean`, and `choices` or `judge`: `quantity`, `times`, `equations`, `collected`, `words`. Whether two
expressions are equal is decided by `equality` (our own exact arithmetic, then a search for a point where
they differ) and finally by `symbolic`, a worker process with mpmath (`precise`). Text is parsed only by
our own bounded parsers; nothing is passed to eval, exec, sympify or parse_expr. Everything before the
worker is pure Python from the standard library, linear or bounded, and has no state but caches of pure
functions.

An adversary searches for responses that are correct for two golds, or for one that they do not commit
to: `make bench-grade ATTACK=1` (`benchmarks/grade_attack.py`).

math-verify is not a tier: it drops units and hedges, and its parser is unbounded. It is a grader to
compare with, as is upstream's rule: `grade_many(..., grader="paper" | "math-verify")`. For user-defined
graders see `vlt/grade/graders.py`.
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
    """Makes the package callable: `vlt.grade(response, gold)` and `import vlt.grade` share one name."""

    def __call__(self, *arguments: Any, **options: Any) -> Grade:
        return grade(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
