"""OpenVLThinker's own rule, for comparison with the paper's numbers. Not the default.

Upstream (generation/generate_reasoning_thinker.py, evaluation/eval_openvlthinker.py) takes the text
between the last `<answer>` and the next `</answer>`, anywhere in the response. It is correct if it
equals gold regardless of case, or if MathRuler 0.1.0's `grade_answer` says so. That rule is
reimplemented here, faults included: cm equals inch, `Yes.` differs from `yes`. MathRuler passes text
to sympy's `parse_expr`, which evaluates it as Python; here a parser of the same small language
(`paper_parse`) builds a tree, and the symbolic tier's worker compares trees.
tests/test_grade_paper.py compares it with mathruler itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vlt.grade.equality import compare
from vlt.grade.paper_parse import difference_is_parsable, parse_difference, to_plain
from vlt.grade.verdict import STRICT, Grade, Options

MAX_LENGTH = 5000
"""Longer answers are only compared regardless of case."""


def grade_as_paper(
    response: str,
    answer: str,
    *,
    question: str | None = None,  # noqa: ARG001  # upstream looks at nothing but the answer
    choices: Sequence[str] | None = None,  # noqa: ARG001
    answer_type: str | None = None,  # noqa: ARG001
    options: Options = STRICT,
) -> Grade:
    """`grade` by upstream's rule; a response without `</answer>` has no answer."""
    if "</answer>" not in response:
        return Grade("wrong", None, "no </answer>")
    predicted = response.split("<answer>")[-1].split("</answer>")[0].strip()
    if not answer.strip():
        return Grade("unjudged", predicted, "no gold answer")
    if predicted.lower() == answer.lower():
        return Grade("correct", predicted, "equal without regard to case")
    verdict = same_as_mathruler(predicted, answer, options.deadline)
    if verdict is None:
        return Grade("unjudged", predicted, "the symbolic tier ran out of time")
    return Grade("correct" if verdict else "wrong", predicted, "as MathRuler's grade_answer")


def same_as_mathruler(given: str, truth: str, deadline: float = STRICT.deadline) -> bool | None:
    """The result of MathRuler's `grade_answer(given, truth)`; None if it takes too long."""
    if max(len(given), len(truth)) > MAX_LENGTH:
        return False
    if _as_in_math(given) == _as_in_math(truth):
        return True
    here, there = _normal(given), _normal(truth)
    if here == there:
        return True
    if not here:
        return False
    got, gold = _elements(here), _elements(there)
    if len(gold) > 1 and (there[0] != here[0] or there[-1] != here[-1]):
        return False
    if len(got) != len(gold):
        return False
    for x, y in zip(gold, got, strict=True):
        if _FRACTION.search(x) and _FRACTION.search(y):
            verdict: bool | None = x == y  # so 2/4 is not 1/2
        elif _is_whole(x) != _is_whole(y):
            verdict = False
        else:
            verdict = _by_algebra(x, y, deadline)
        if not verdict:
            return verdict
    return bool(gold)


def _by_algebra(truth: str, given: str, deadline: float) -> bool | None:
    if not difference_is_parsable(truth, given):
        return False
    trees = parse_difference(truth, given)
    if trees is None:
        return False
    verdict = compare(*trees)
    if verdict is None:
        from vlt.grade.symbolic import equal

        verdict = equal(*trees, deadline)
    return verdict


# -- the normal form of the MATH benchmark: equal strings are equal answers

_TEXT = re.compile(r"^\\text\{(?P<text>.+?)\}$")


class _Malformed(Exception):
    """The MATH normal form cannot be made; MathRuler then leaves the answer as it is."""


def _as_in_math(answer: str) -> str:
    answer = answer.strip()
    whole = _TEXT.search(answer)
    if whole:
        answer = whole["text"].strip()
    try:
        return _math_string(answer)
    except _Malformed:
        return answer


def _math_string(s: str) -> str:
    for old, new in (
        ("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"),
        ("\\left", ""), ("\\right", ""), ("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""),
    ):  # fmt: skip
        s = s.replace(old, new)
    if s.count("\\text{ ") > 1:
        raise _Malformed
    s = s.split("\\text{ ")[0]  # such text is a unit
    s = s.replace("\\%", "").replace("%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not s:
        return ""
    s = "0" + s if s[0] == "." else s
    sides = s.split("=")
    if len(sides) == 2 and len(sides[0]) <= 2:
        s = sides[1]
    s = _braced_fractions(_braced_roots(s).replace(" ", ""))
    return _as_fraction("\\frac{1}{2}" if s == "0.5" else s)


def _braced_roots(s: str) -> str:
    head, *rest = s.split("\\sqrt")
    if "" in rest:
        raise _Malformed
    return head + "".join(
        "\\sqrt" + (part if part[0] == "{" else "{" + part[0] + "}" + part[1:]) for part in rest
    )


def _braced_fractions(s: str) -> str:
    r"""\frac12 and \frac1{2} get their braces."""
    head, *rest = s.split("\\frac")
    out = head
    for part in rest:
        if not part:
            raise _Malformed
        if part[0] != "{":
            if len(part) < 2:
                return s
            second = part[1] if part[1] == "{" else "{" + part[1] + "}"
            part = "{" + part[0] + "}" + second + part[2:]
        out += "\\frac" + part
    return out


def _as_fraction(s: str) -> str:
    r"""3/4 as \frac{3}{4}."""
    parts = s.split("/")
    if len(parts) != 2:
        return s
    try:
        top, bottom = int(parts[0]), int(parts[1])
    except ValueError:
        return s
    return f"\\frac{{{top}}}{{{bottom}}}" if s == f"{top}/{bottom}" else s


# -- the second normal form, before algebra

_UNITS = (
    "degree cm centimeter meter mile second minute hour day week month year foot feet inch yard"
).split()
_UNIT_PATTERNS = [re.compile(rf"{unit}(es)?(s)? *(\^[0-9]+)?") for unit in _UNITS]
_COMMA = re.compile(r"(\d)(,)(\d\d\d)($|\D)")
_FRACTION = re.compile(r"^-?[0-9]+.?/0*[1-9][0-9]*.?$")


def _normal(answer: str) -> str:
    whole = _TEXT.search(answer)
    s = whole["text"] if whole else answer
    for old, new in (
        ("\\%", "%"), ("\\$", "$"), ("$", ""), ("%", ""), (" or ", " , "), (" and ", " , "),
        ("million", "*10^6"), ("billion", "*10^9"), ("trillion", "*10^12"),
    ):  # fmt: skip
        s = s.replace(old, new)
    for pattern in _UNIT_PATTERNS:
        s = pattern.sub("", s)
    s = re.sub(r"\^ *\\circ", "", s)
    if s and s[0] == "{" and s[-1] == "}":
        s = s[1:-1]
    s = re.sub(",\\\\! *", "", s)
    if _is_float(s) and _near_whole(float(s)):
        s = str(round(float(s)))
    if "\\" in s:
        s = to_plain(s)
    s = re.sub("- *", "-", s)
    s = re.sub("([0-9]) +([0-9])", r"\1+\2", s)
    s = s.replace(" ", "").replace("{", "").replace("}", "").lower()
    return str(int(float(s.replace(",", "")))) if _is_whole(s) else s


def _is_float(s: str) -> bool:
    try:
        float(s)
    except ValueError:
        return False
    return True


def _near_whole(x: float) -> bool:
    try:
        return abs(x - round(x)) <= 1e-7
    except (ValueError, OverflowError):
        return False


def _without_commas(s: str) -> str:
    while True:
        shorter = _COMMA.sub(r"\1\3\4", s)
        if shorter == s:
            return s
        s = shorter


def _is_whole(s: str) -> bool:
    s = _without_commas(s)
    return _is_float(s) and _near_whole(float(s))


def _elements(s: str) -> list[str]:
    """A tuple's or interval's elements, or the whole."""
    s = _without_commas(s)
    if not s:
        return []
    if len(s) > 2 and s[0] in "()[]" and s[-1] in "()[]" and not any(c in s[1:-1] for c in "()[]"):
        return [element.strip() for element in s[1:-1].split(",")]
    return [s]
