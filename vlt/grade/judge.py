"""Compare one answer with one gold answer, the cheapest rule first.

`Judge.same` works on cleaned texts and calls itself for the parts of a collection and for the
sides of an equation. It returns (True | False | None, reason); None: the symbolic tier could not
say in time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from vlt.grade import words
from vlt.grade.amounts import same_number, same_quantity
from vlt.grade.clean import MAX_LENGTH, fold
from vlt.grade.groups import Group, group_of
from vlt.grade.quantity import Quantity, all_maths, compound_of, is_maths, quantity_of
from vlt.grade.relations import Relation, assignment, is_name, relation_of, same_name
from vlt.grade.times import same_time, time_of
from vlt.grade.tokens import Tree
from vlt.grade.units import same_unit, unit_of
from vlt.grade.verdict import STRICT, Options

Outcome = tuple[bool | None, str]
Symbolic = Callable[[Tree, Tree], bool | None]

_RELATION = re.compile(r"[=<>≤≥≠∈]")
_TIME_LIKE = re.compile(r"\d{1,2} ?:\d|\d ?[ap]\.?m\b|o'clock|noon|midnight", re.I)
_COMPOUND = re.compile(r"\d[\d.]* ?[A-Za-z']+\.?,? ?(?:and )?\d")
_WHOLE = re.compile(r"-?\d{1,15}")


@dataclass(slots=True)
class Judge:
    """The rules, with what they depend on."""

    symbolic: Symbolic
    """Decides what the cheap rules cannot; None for no decision in time."""
    options: Options = STRICT
    percent_asked: bool = False
    """The question asks for a percentage."""
    rounding: bool = True
    """Whether a longer decimal may round to gold (not among choices)."""
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

    def _case(self, got: str, gold: str) -> bool:
        """Texts equal but for case are equal, unless they are a number of mW and one of MW."""
        if got.lower() != gold.lower() or not any(c.isdigit() for c in gold):
            return True
        a, b = quantity_of(got), quantity_of(gold)
        return a is None or b is None or same_unit(a.unit, b.unit)

    def _by_kind(self, got: str, gold: str, folded: str) -> Outcome:
        if folded in ("yes", "no", "true", "false"):
            said = words.first_word(got)
            if said:
                return said == folded, "yes or no"
            rest = words.without_subject(got)
            return (words.first_word(rest) == folded if rest else False), "yes or no"
        best = self._plainly(got, gold)
        if best[0]:
            return best
        twice = words.twice(got)
        if (
            twice is not None
            and self.same(twice[0], gold)[0]
            and (unit_of(twice[1]) is not None or self.same(twice[1], gold)[0])
        ):
            return True, "said twice"
        for shorter in (words.without_subject(got), words.without_reason(got)):
            if shorter and shorter != got:
                again = self.same(shorter, gold)
                if again[0] or (again[0] is None and best[0] is False):
                    best = again
                if best[0]:
                    return best
        return best

    def _plainly(self, got: str, gold: str) -> Outcome:
        """By the kind of gold, with nothing left out of the answer."""
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
        if found is None:
            return False, "no such number"
        verdict, reason = same_quantity(
            found, gold, self.options, percent_asked=self.percent_asked, rounding=self.rounding
        )
        if verdict is None:
            verdict, reason = self.symbolic(found.number, gold.number), "symbolic"
        return verdict, reason

    def _texts(self, got: str, gold: str) -> Outcome:
        if any(c in "\\_{" for c in gold + got) and (words.compact(got) == words.compact(gold)):
            return True, "same formula"
        if self.options.plurals and words.same_plural(got, gold):
            return True, "same but for the plural"
        return False, "another answer"

    # -- equations

    def _relations(
        self, got: str, here: Relation | None, gold: str, there: Relation | None
    ) -> Outcome | None:
        if here is not None and any(sign == "∈" for sign in here.signs) and there is None:
            return (
                self.same(here.sides[-1], gold) if is_name(here.sides[0]) else (False, "relation")
            )
        if there is None and here is not None:
            value = self._value(here)
            return (False, "a relation") if value is None else self.same(value, gold)
        if there is not None and here is None:
            value = self._value(there)
            return (False, "no relation") if value is None else self.same(got, value)
        if here is None or there is None:
            return None
        if here.signs != there.signs or len(here.sides) != len(there.sides):
            if here.equation and there.equation:
                a, b = assignment(here), assignment(there)
                if a and b and same_name(a[0], b[0]):
                    return self.same(a[1], b[1])
            return False, "another relation"
        if here.equation and len(here.sides) == 2:
            a, b = assignment(here), assignment(there)
            if a and b:
                if not same_name(a[0], b[0]):
                    return False, "another variable"
                outcome = self.same(a[1], b[1])
                return self._side(a[1], b[1]) if outcome[0] is False else outcome
            left, right = here.sides
            for x, y in ((left, right), (right, left)):
                first = self._side(x, there.sides[0])
                if first[0] is not False:
                    second = self._side(y, there.sides[1])
                    if second[0] is not False:
                        return (None if None in (first[0], second[0]) else True), "same equation"
            return False, "another equation"
        return self._all(here.sides, there.sides, "relation", self._side)

    def _side(self, got: str, gold: str) -> Outcome:
        """One side of an equation: exact, and units do not come or go."""
        if got.replace(" ", "") == gold.replace(" ", ""):
            return True, "same"
        a, b = quantity_of(got), quantity_of(gold)
        if a is None or b is None:
            return self.same(got, gold) if got != gold else (True, "same")
        if a.unit != b.unit or a.currency != b.currency:
            return False, "another unit"
        verdict = same_number(a, b, self.options, rounding=False)
        return (self.symbolic(a.number, b.number) if verdict is None else verdict), "sides"

    def _value(self, relation: Relation) -> str | None:
        """What an equation says that something is: 5 for `x = 5` and for `2 + 3 = 5`."""
        named = assignment(relation)
        if named is not None:
            return named[1] if named[0] != "" or len(relation.sides) == 2 else None
        if not relation.equation:
            return None
        numbers = [quantity_of(side) for side in relation.sides]
        first, last = numbers[0], numbers[-1]
        if first is None or last is None or first.value is None or last.value is None:
            return None
        return relation.sides[-1] if first.value == last.value else None

    # -- collections

    def _groups(self, got: str, relation: Relation | None, gold: Group) -> Outcome:
        here = group_of(got)
        if (here is None or here.kind == "list") and relation is not None and here != gold:
            if is_name(relation.sides[0]) and len(relation.sides) == 2:
                if relation.signs[0] in ("=", "∈") and not (here and self._each_named(here)):
                    inner = group_of(relation.sides[1])
                    here = inner if inner is not None else here
            elif here is None:
                return False, "a relation"
        if here is None:
            return False, "not several parts"
        if gold.kind == "matrix" or here.kind == "matrix":
            if here.kind != gold.kind or here.shape != gold.shape or gold.shape[1] < 1:
                return False, "another shape"
            return self._all(here.items, gold.items, "matrices")
        if gold.kind == "ratio":
            if here.kind != "ratio":
                return False, "no ratio"
            return self._all(here.items, gold.items, "ratios")
        if gold.kind == "union":
            return self._multiset(here, gold) if here.kind == "union" else (False, "no union")
        if gold.kind == "bracket":
            return self._brackets(here, gold)
        if here.joined and len(here.items) != len(gold.items):
            return False, "a hedge"
        if here.kind == "bracket" and gold.kind == "set":
            return False, "ordered, and gold is a set"
        if here.kind == "bracket" and here.brackets != "[]":
            return self._all(here.items, gold.items, "lists")
        if here.kind not in ("set", "list", "bracket"):
            return False, "not a list"
        return self._multiset(here, gold)

    def _each_named(self, group: Group) -> bool:
        return all("=" in item for item in group.items)

    def _brackets(self, here: Group, gold: Group) -> Outcome:
        if gold.brackets == "[]" and here.kind != "bracket" and not all_maths(gold.items):
            return self._multiset(here, gold)
        if here.kind == "list" and gold.brackets == "()" and self._each_named(here):
            return self._all(tuple(sorted(here.items)), gold.items, "coordinates")
        if here.kind != "bracket" or here.brackets != gold.brackets:
            return False, "other brackets"
        if gold.brackets == "[]" and not all_maths(gold.items):
            return self._multiset(here, gold)
        return self._all(here.items, gold.items, "tuples")

    def _all(
        self,
        here: tuple[str, ...],
        there: tuple[str, ...],
        reason: str,
        same: Callable[[str, str], Outcome] | None = None,
    ) -> Outcome:
        """Every part the same, in order."""
        if len(here) != len(there):
            return False, "another number of parts"
        outcome: bool | None = True
        for got, gold in zip(here, there, strict=True):
            verdict = (same or self.same)(got, gold)[0]
            if verdict is False:
                return False, f"{reason} differ"
            if verdict is None:
                outcome = None
        return outcome, f"same {reason}"

    def _multiset(self, here: Group, gold: Group) -> Outcome:
        """Every part of gold once, in any order."""
        if len(here.items) != len(gold.items):
            return False, "another number of parts"
        left = list(here.items)
        unsure = False
        for wanted in gold.items:
            for i, item in enumerate(left):
                verdict = self.same(item, wanted)[0]
                if verdict:
                    left.pop(i)
                    break
                unsure = unsure or verdict is None
            else:
                return (None if unsure else False), "a part differs"
        return True, "same parts"
