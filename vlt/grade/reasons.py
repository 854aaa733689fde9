"""What a grader's reason means, in a sentence's words: for people who read rows.

Stored is the name of the rule that decided (`verdict_reason`), which queries and counts rely on: with a
verdict of wrong, `whole numbers` says that two whole numbers were compared and differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

RULES = {
    "whole numbers": ("the same whole number", "another whole number"),
    "same number": ("the same number", "another number"),
    "yes or no": ("the same, yes or no", "yes and no swapped"),
    "dates": ("the same date", "another date"),
    "times": ("the same time of day", "another time of day"),
    "long texts": ("the same text", "another text"),
    "symbolic": ("equal expressions", "an expression of another value"),
    "sides": ("an equation with equal sides", "an equation with other sides"),
    "relation": ("the same relation", "a relation instead of a value"),
    "a quantity of several units": ("the same quantity", "another quantity"),
    "percent as a share": ("the same share", "another share"),
    "unit converted": ("the same in another unit", "another amount in another unit"),
    "math-verify": ("equal according to math-verify", "not equal according to math-verify"),
    "as MathRuler's grade_answer": (
        "equal according to MathRuler's grade_answer",
        "not equal according to MathRuler's grade_answer",
    ),
}
"""Rules whose names do not say how they decided: the words for correct and for wrong."""
WORDS = {
    "same text": "the same text",
    "same letters": "the same options",
    "same parts": "the same parts",
    "same formula": "the same formula",
    "same equation": "the same equation",
    "same but for the plural": "the same, except for the plural",
    "its text": "the text of the right option",
    "percent sign is optional": "the same number (the percent sign is optional)",
    "percent as the same number": "the same number (with or without a percent sign)",
    "no option": "none of the options",
    "gold is no option": "the gold answer is none of the options",
    "no time": "not a time of day",
    "no such number": "not a number, where gold is one",
    "no union": "not a union, as gold is",
    "no brackets": "no brackets, which gold has",
    "not exact": "a rounded number, where gold is exact",
    "not several parts": "a single answer, where gold has several parts",
    "not a list": "not a list, as gold is",
    "ordered, and gold is a set": "an ordered list, where gold is a set",
    "other brackets": "other brackets than gold's",
    "another shape": "a matrix of another shape",
    "a hedge": "several answers to choose from",
    "a relation": "a relation, where gold is a value",
    "a class of numbers": "a class of numbers, not one number",
    "source text": "source code instead of an answer",
    "a remark that disagrees": "the answer's own remark contradicts it",
    "answers that disagree": "several final answers that disagree",
    "too deep": "nested too deeply to be compared",
}
"""Names that are too short to be understood by themselves."""
OPTION = re.compile(r"option [A-Z]")
GRADING = ("verify", "correct")
"""Filters whose reason is a verdict and the grader's reason."""


def reason_words(reason: str, verdict: str | None) -> str:
    """The reason of a verdict in words; an unknown one, such as a user's own grader's, as it is."""
    if reason in RULES:
        return RULES[reason][verdict != "correct"] if verdict in ("correct", "wrong") else reason
    if OPTION.fullmatch(reason):
        return f"{reason}, {'the' if verdict == 'correct' else 'not the'} right one"
    return WORDS.get(reason, reason)


def readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with `verdict_reason` and, if a grading filter dropped it, `reason` in words."""
    found = dict(row)
    if given := row.get("verdict_reason"):
        found["verdict_reason"] = reason_words(str(given), row.get("verdict"))
    if row.get("filter") in GRADING and row.get("reason"):
        verdict, colon, why = str(row["reason"]).partition(": ")
        found["reason"] = f"{verdict}{colon}{reason_words(why, verdict)}"
    return found
