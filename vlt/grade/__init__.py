"""One function decides whether a response is right."""

from __future__ import annotations

from vlt.grade.extract import extract, split_reasoning
from vlt.grade.grader import answer_type_of, grade
from vlt.grade.many import grade_many
from vlt.grade.verdict import Grade, Options

__all__ = [
    "Grade",
    "Options",
    "answer_type_of",
    "extract",
    "grade",
    "grade_many",
    "split_reasoning",
]
