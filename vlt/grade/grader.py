"""`grade`: one response against one gold answer. The conventions are in `vlt/grade/__init__.py`."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import lru_cache

from vlt.grade.choices import Choice
from vlt.grade.clean import MAX_LENGTH, clean, fold
from vlt.grade.commit import YEAR, committed
from vlt.grade.extract import Found, extract, find
from vlt.grade.judge import Judge, Symbolic
from vlt.grade.letters import choices_in, same_letters, several, texts_of
from vlt.grade.tokens import Tree
from vlt.grade.verdict import STRICT, Grade, Options, Outcome

_PERCENT = re.compile(r"percent|per cent|%", re.I)
_LETTER = re.compile(r"[(\[]?[A-Z][)\]]?\.?")
_LABELLED = re.compile(r"(?:\([A-J]\)|[A-J][.)])\s*\S.*", re.S)
_SOURCE = re.compile(
    r"\b(?:print|len|sum|range)\(|^\s*(?:def|import|return|class) \w|^\s*from \w+ import|\blambda\b",
    re.M,
)


def in_worker(options: Options) -> Symbolic:
    """The symbolic tier in its own process; the deadline covers everything that one row asks."""
    left = options.deadline

    def symbolic(a: Tree, b: Tree) -> bool | None:
        nonlocal left
        from vlt.grade.symbolic import equal

        if left < 0:
            return None
        began = time.monotonic()
        verdict = equal(a, b, left)
        left -= time.monotonic() - began if verdict is None else 0.0
        return verdict

    return symbolic


def grade(
    response: str | None,
    answer: str | None,
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
    found = find(response or "", options.languages)
    gold = _gold(answer or "")
    if not gold:
        return Grade("unjudged", found.predicted, "no gold answer")
    if found.predicted is None:
        return Grade("wrong", None, "no final answer")
    judge = Judge(
        symbolic or in_worker(options),
        options,
        question is not None and _PERCENT.search(question) is not None,
    )
    row = _Row(gold, choices, question, answer_type, judge)
    verdict, reason = row.all_right(found)
    predicted = found.predicted
    if not verdict and found.how == "whole" and options.prose != "off":
        span = in_prose(found.predicted, options.prose)
        if span:
            predicted = span
            verdict, reason = row.right(clean(span))
    if verdict is None:
        return Grade("unjudged", predicted, "the symbolic tier ran out of time")
    return Grade("correct" if verdict else "wrong", predicted, reason)


class _Row:
    """One gold answer, compared with what a response says."""

    def __init__(
        self,
        gold: str,
        choices: Sequence[str] | None,
        question: str | None,
        answer_type: str | None,
        judge: Judge,
    ):
        self.gold = gold
        self.judge = judge
        self.choice: Choice | None = None
        self.texts: list[str] = []
        if choices:
            self.texts = texts_of(choices)
        elif question and _asks(gold, answer_type):
            self.texts = choices_in(question)
        self.several = several(gold, len(self.texts) or 10)
        if self.several and gold.isalpha() and gold != self.several:
            self.several = None  # BA is not a selection
        if self.several and fold(gold) in map(fold, self.texts):
            self.several = None
        if not self.several and (choices or _asks(gold, answer_type)):
            judge.rounding = False
            self.choice = Choice(gold, self.texts, judge)
            if self.choice.gold is None:  # gold is none of the options: an open question after all
                self.choice = None
                judge.rounding = True

    def all_right(self, found: Found) -> Outcome:
        """Whether every answer that a response commits to is correct."""
        if not found.spans:
            return False, "a hedge"
        spans = [clean(span) for span in found.spans]
        if found.how == "boxes, words":
            # an intermediate result in a box, followed by the letter
            letter = self.choice.read(spans[-1]) if self.choice else None
            if letter is None:
                spans.pop()
            elif self.choice and all(self.choice.read(span) is None for span in spans[:-1]):
                spans = spans[-1:]
        total: Outcome = (True, "")
        for span in spans:
            outcome = self.right(span)
            if outcome[0] is False:
                return outcome if len(spans) == 1 else (False, "answers that disagree")
            if outcome[0] is None or total[0]:
                total = outcome
        return total

    def right(self, got: str) -> Outcome:
        """Whether one cleaned answer is gold."""
        gold = self.gold
        if not got:
            return False, "empty answer"
        if got == gold:
            return True, "same text"
        if len(got) > MAX_LENGTH:  # can only be a text; only linear work on it
            return fold(got) == fold(gold), "long texts"
        if self.several and same_letters(got, gold, len(self.texts) or 10, bool(self.texts)):
            return True, "same letters"
        if self.choice is not None:
            return self.choice.same(got)
        if _SOURCE.search(got):
            return False, "source text"
        outcome = self.judge.same(got, gold)
        if outcome[0] is not False:
            return outcome
        head = committed(got, self.judge.options.languages)
        if head is None:
            return outcome
        again = self.judge.same(head.head, gold)
        if again[0] and head.aside and not self.judge.agrees(head.head, head.aside, gold):
            return False, "a remark that disagrees"
        return again


def in_prose(text: str, how: str) -> str | None:
    """The last line or the last number of prose, for models that use no tags (an option)."""
    if how == "last_line":
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else None
    numbers = _NUMBER.findall(text[-20_000:])
    return numbers[-1] if numbers else None


_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?")


@lru_cache(maxsize=8192)
def _gold(answer: str) -> str:
    if "<answer>" in answer:
        answer = extract(answer) or ""
    return YEAR.sub("", clean(answer))


def _asks(gold: str, answer_type: str | None) -> bool:
    """Whether a gold without listed options is a letter."""
    if answer_type is not None and answer_type != "choice":
        return False
    return bool(_LETTER.fullmatch(gold) or _LABELLED.fullmatch(gold))


def answer_type_of(answer: str, choices: Sequence[str] | None = None) -> str:
    """The kind of a gold answer: choice, yes_no, integer, float, math, list, time or text."""
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
