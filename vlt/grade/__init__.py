"""One function decides whether a response is right: the filter, the reward and the benchmarks ask it.

    grade("<think>...</think> <answer>2/4</answer>", "\\\\frac{1}{2}").verdict == "correct"

The conventions
===============
**Where the answer is.** After the last `</think>`: the last `<answer>` (an unclosed one runs to the
end), else the last `\\\\boxed{}`, else the words after "answer is" or "Answer:", else the whole, which
is then an answer only where it is nothing but one. What stands inside `<think>` never counts. Two
answers joined by "or", "and" or a comma are one hedged answer.

**Verdicts.** Empty, missing or refused is wrong. An empty gold is `unjudged`, and so is a row that the
symbolic tier could not settle in time.

**One committed answer.** The whole answer must be gold, in one of the forms below. "A or B",
"5, 6, 7" for one number, "more than 12", "not B", every option listed: wrong. Only this may be left
out around it: LaTeX and Markdown wrappers, "The X is ...", and a reason ("..., because ...").

**Choices.** The letter, the letter in brackets, the letter with its own text, or exactly the text of
that option (equal as a number or in LaTeX counts) are one answer, whichever form gold has. A letter
with another option's text is wrong. The article "a" and words that begin with the letter are no
letter. Options may stand in the question: "(A) 10 (B) 12".

**Numbers** are exact, and integers never absorb decimals. Where gold has k decimal places, a longer
decimal (or an exact number) that rounds to it half up is right, a shorter one is wrong; for golds
in e-notation or with a scale word the places of the mantissa count, and the answer must be
written so too. Separators of thousands, trailing zeros, number words, e-notation, Unicode digits,
fractions, superscripts, full-width forms, thousand to trillion are spellings. "About 12" is no
answer to an integer, "about 3.14" is one to a decimal.

**Exact golds** (fraction, surd, pi, power, polynomial, function) need exact equality in value.

**Units.** Missing on either side is fine; "units" stands for any. Another unit, another power of it,
another currency is wrong, another spelling is right. Things counted are units: 12 apples are not 12
oranges. Degrees are optional, radians are not degrees. Percent: the sign is optional where gold has
it or the question asks for a percentage; otherwise 25 % is the number 0.25.

**Times.** a.m. against p.m. is wrong; one that is not said agrees with both.

**Equations.** `x = 5` and `5` are the same, both ways; another variable is wrong. Otherwise sides
may change places and terms their order, and nothing moves across the sign. Inequalities may be
read from the right.

**Collections.** Tuples and intervals are ordered, and their brackets count. Sets and lists (also of
numbers, also without brackets) are unordered and compared as multisets. ``±`` is two answers.
Unions are unordered, matrices go entry by entry, ratios part by part.

**Texts.** Case, a leading article, quotes, the final full stop, NFC/NFKC and "The X is" do not
matter. "Yes, because ..." is yes; "no idea" is not no.

**Options** (`Options`, all strict by default): `relative_tolerance` 0, `decimals_of_exact` off,
`convert_units` off, `clock_24h` off, `plurals` off; and `deadline` 1.0 s for the symbolic tier.

How it is found
===============
`extract` -> `clean` -> `choices` or `judge` -> `quantity`, `times`, `relations`, `groups`, `words`
-> `equality` (exact arithmetic of our own, then a search for a point where two expressions differ)
-> `symbolic`, a worker process with sympy. Text is parsed by our own bounded parsers only; nothing
is given to eval, exec, sympify or parse_expr. Everything before the worker is pure Python from the
standard library, linear or bounded, and holds no state but caches of pure functions.

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
