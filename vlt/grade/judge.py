"""Compare one answer with one gold answer, the cheapest rules first.

`Judge.same` works on cleaned texts and calls itself for the parts of a collection and for the
sides of an equation. It returns (True | False | None, reason); None if the symbolic tier could
not decide in time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from vlt.grade.amounts import rounds_to, same_quantity
from vlt.grade.clean import MAX_LENGTH, fold
from vlt.grade.commit import first_word
from vlt.grade.equations import Equations
from vlt.grade.groups import group_of
from vlt.grade.quantity import Quantity, quantity_of
from vlt.grade.relations import relation_of
from vlt.grade.spans import date_of
from vlt.grade.terms import compound_of, is_maths
from vlt.grade.times import same_time, time_of
from vlt.grade.tokens import Tree
from vlt.grade.units import same_unit, unit_of
from vlt.grade.verdict import STRICT, Options, Outcome
from vlt.grade.words import compact, same_plural

Symbolic = Callable[[Tree, Tree], bool | None]

_RELATION = re.compile(
    r"[=<>≤≥≠≈∈∥⊥≅∼]|^(?:the )?(?:point |vertex )?[A-Z]'?(?:_\{?\d\}?)? ?\(|^the point ?\(", re.I
)
_TIME_LIKE = re.compile(r"\d{1,2} ?:\d|\d ?[ap]\.?m\b|o'clock|noon|midnight", re.I)
_COMPOUND = re.compile(r"\d[\d.]* ?[A-Za-z'°]+\.?,? ?(?:and )?\d")
_WHOLE = re.compile(r"-?\d{1,15}")


@dataclass
class Judge(Equations):
    """The rules and their settings."""

    symbolic: Symbolic
    """Decides what the cheap rules cannot; None for no decision in time."""
    options: Options = STRICT
    percent_asked: bool = False
    """The question asks for a percentage."""
    rounding: bool = True
    """Whether a longer decimal may round to gold (not for choices)."""
    depth: int = 0

    def same(self, got: str, gold: str) -> Outcome:
        """Whether `got` is the answer `gold`; both cleaned."""
        if not got:
            return False, "empty answer"
        if got == gold:
            return True, "same text"
        if _WHOLE.fullmatch(got) and _WHOLE.fullmatch(gold) and not self.options.relative_tolerance:
            return int(got) == int(gold), "whole numbers"
        if len(gold) > MAX_LENGTH:
            return fold(got) == fold(gold), "long texts"
        folded = fold(gold)
        if fold(got) == folded and folded:
            return (True, "same text") if self._case(got, gold) else (False, "another unit")
        if self.depth > 6:
            return False, "too deep"
        self.depth += 1
        try:
            return self._by_kind(got, gold, folded)
        finally:
            self.depth -= 1

    def agrees(self, head: str, aside: str, gold: str) -> bool:
        """Whether a remark in brackets repeats what precedes it: 12 (twelve), 5 (cm)."""
        exact, decimal = quantity_of(head), quantity_of(aside)
        if self.same(aside, gold)[0]:
            return True
        if unit_of(aside) is not None and not re.search(r"[A-Za-z]\d", aside):
            return exact is not None and exact.unit in (None, unit_of(aside))
        return exact is not None and decimal is not None and rounds_to(exact, decimal)

    def _case(self, got: str, gold: str) -> bool:
        """Texts that differ only in case are equal, unless they are numbers of mW and MW."""
        if got.lower() != gold.lower() or not any(c.isdigit() for c in gold):
            return True
        a, b = quantity_of(got), quantity_of(gold)
        return a is None or b is None or same_unit(a.unit, b.unit)

    def _by_kind(self, got: str, gold: str, folded: str) -> Outcome:
        if folded in ("yes", "no", "true", "false"):
            return first_word(got) == folded, "yes or no"
        return self._plainly(got, gold)

    def _plainly(self, got: str, gold: str) -> Outcome:
        """Compare by the kind of gold, without leaving out any part of the answer."""
        if _TIME_LIKE.search(gold):
            there = time_of(gold)
            if there is not None:
                here = time_of(got)
                if here is None:
                    return False, "no time"
                return same_time(here, there, clock_24h=self.options.clock_24h), "times"
        parts = compound_of(gold) if _COMPOUND.match(gold) else None
        if parts is not None:
            return compound_of(got) == parts, "a quantity of several units"
        gold_relation = relation_of(gold) if _RELATION.search(gold) else None
        got_relation = relation_of(got) if _RELATION.search(got) else None
        day = date_of(gold)
        if day is not None:
            return date_of(got) == day, "dates"
        number = quantity_of(gold) if gold_relation is None else None
        gold_group = None if number else group_of(gold)
        if gold_group is None and (gold_relation or got_relation):
            outcome = self._relations(got, got_relation, gold, gold_relation)
            if outcome is not None:
                return outcome
        if gold_group is not None:
            outcome = self._groups(got, got_relation, gold_group)
            if outcome[0] is not False:
                return outcome
        elif number is not None and is_maths(gold, number):
            outcome = self._quantities(got, number)
            if outcome[0] is not False:
                return outcome
        return self._texts(got, gold)

    def _quantities(self, got: str, gold: Quantity) -> Outcome:
        found = quantity_of(got)
        if found is None or " mod " in got:  # 5 mod 7 is a class of numbers
            return False, "no such number"
        verdict, reason = same_quantity(
            found, gold, self.options, percent_asked=self.percent_asked, rounding=self.rounding
        )
        if verdict is None:
            verdict, reason = self.symbolic(found.number, gold.number), "symbolic"
        return verdict, reason

    def _texts(self, got: str, gold: str) -> Outcome:
        if any(c in "\\_{" for c in gold + got) and (compact(got) == compact(gold)):
            return True, "same formula"
        if self.options.plurals and same_plural(got, gold):
            return True, "same but for the plural"
        return False, "another answer"
