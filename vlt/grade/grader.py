"""`grade`: one response against one gold answer. The conventions are in `vlt/grade/__init__.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from vlt.grade.choices import Choice, choices_in, texts_of
from vlt.grade.clean import MAX_LENGTH, clean, fold
from vlt.grade.extract import extract
from vlt.grade.judge import Judge, Symbolic
from vlt.grade.tokens import Tree
from vlt.grade.verdict import STRICT, Grade, Options

_PERCENT = re.compile(r"percent|per cent|%", re.I)
_LETTER = re.compile(r"[(\[]?[A-Z][)\]]?\.?")
_LABELLED = re.compile(r"(?:\([A-J]\)|[A-J][.)])\s*\S.*", re.S)


def in_worker(options: Options) -> Symbolic:
    """The symbolic tier with these options' deadline, in a process of its own."""

    def symbolic(a: Tree, b: Tree) -> bool | None:
        from vlt.grade.symbolic import equal

        return equal(a, b, options.deadline)

    return symbolic


def grade(
    response: str,
    answer: str,
    *,
    question: str | None = None,
    choices: Sequence[str] | None = None,
    answer_type: str | None = None,
    options: Options = STRICT,
    symbolic: Symbolic | None = None,
) -> Grade:
    """Whether `response` gives `answer` (the gold). Raises nothing on any text.

    `question` says whether a percentage is asked for, and may list the choices. `answer_type` is
    one of the schema's; None infers it. `symbolic` replaces the last tier (tests).
    """
    return grade_extracted(
        extract(response),
        answer,
        question=question,
        choices=choices,
        answer_type=answer_type,
        options=options,
        symbolic=symbolic,
    )


def grade_extracted(
    predicted: str | None,
    answer: str,
    *,
    question: str | None = None,
    choices: Sequence[str] | None = None,
    answer_type: str | None = None,
    options: Options = STRICT,
    symbolic: Symbolic | None = None,
) -> Grade:
    """`grade` for a final answer that has been found already."""
    gold = _gold(answer)
    if not gold:
        return Grade("unjudged", predicted, "no gold answer")
    if predicted is None:
        return Grade("wrong", None, "no final answer")
    got = clean(predicted)
    if not got:
        return Grade("wrong", predicted, "empty answer")
    if len(got) > MAX_LENGTH:  # no answer of any kind but a text, and linear work only
        same = fold(got) == fold(gold)
        return Grade("correct" if same else "wrong", predicted, "long texts")
    judge = Judge(
        symbolic or in_worker(options),
        options,
        question is not None and _PERCENT.search(question) is not None,
    )
    if _is_choice(gold, choices, answer_type):
        outcome = _choose(got, gold, choices, question, judge)
    else:
        outcome = judge.same(got, gold)
    if outcome[0] is None:
        return Grade("unjudged", predicted, "the symbolic tier ran out of time")
    return Grade("correct" if outcome[0] else "wrong", predicted, outcome[1])


@lru_cache(maxsize=8192)
def _gold(answer: str) -> str:
    if "<answer>" in answer:
        answer = extract(answer) or ""
    return clean(answer)


def _is_choice(gold: str, choices: Sequence[str] | None, answer_type: str | None) -> bool:
    if choices:
        return True
    if answer_type is not None and answer_type != "choice":
        return False
    return bool(_LETTER.fullmatch(gold) or _LABELLED.fullmatch(gold))


def _choose(
    got: str, gold: str, choices: Sequence[str] | None, question: str | None, judge: Judge
) -> tuple[bool | None, str]:
    judge.rounding = False
    choice = Choice(gold, texts_of(choices) if choices else [], judge)
    if not choices and question:
        listed = choices_in(question)
        if listed:
            choice = Choice(gold, listed, judge)
    if choice.gold is None:  # gold is none of the options: an open question after all
        judge.rounding = True
        return judge.same(got, gold)
    if got == gold:
        return True, "same text"
    return choice.same(got)


def answer_type_of(answer: str, choices: Sequence[str] | None = None) -> str:
    """What kind of gold `answer` is: choice, yes_no, integer, float, math, list, time or text."""
    from vlt.grade.groups import group_of
    from vlt.grade.literals import literal
    from vlt.grade.quantity import quantity_of
    from vlt.grade.relations import relation_of
    from vlt.grade.times import time_of

    gold = clean(answer)
    if choices or re.fullmatch(r"[(\[]?[A-J][)\]]?", gold):
        return "choice"
    if gold.casefold().rstrip(".") in ("yes", "no"):
        return "yes_no"
    if time_of(gold) is not None:
        return "time"
    number = quantity_of(gold)
    if number is not None and number.value is not None:
        if literal(gold.lstrip("+-¤€£¥ ")) is not None and "/" not in gold and "\\" not in gold:
            return "integer" if number.value.denominator == 1 and not number.places else "float"
        return "math"
    if number is not None or relation_of(gold) is not None or "\\" in gold:
        return "math" if any(c in gold for c in "\\^=<>≤≥≠π∞+-*/|") or len(gold) <= 3 else "text"
    group = group_of(gold)
    if group is not None and group.kind in ("list", "set"):
        return "list"
    if group is not None:
        return "math"
    return "text"
