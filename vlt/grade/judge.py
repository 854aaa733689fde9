"""Compare one answer with one gold answer, the cheapest rule first.

`Judge.same` works on cleaned texts and calls itself for the parts of a collection and for the
sides of an equation. It returns (True | False | None, reason); None: the symbolic tier could not
say in time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vlt.grade import words
from vlt.grade.amounts import rounds_to, same_number, same_quantity
from vlt.grade.clean import MAX_LENGTH, fold
from vlt.grade.commit import first_word
from vlt.grade.equality import compare
from vlt.grade.groups import Group, group_of
from vlt.grade.numeric import approximate
from vlt.grade.quantity import Quantity, all_maths, compound_of, computed, date_of, is_maths, quantity_of
from vlt.grade.relations import (
    Relation,
    assignment,
    bare_name,
    is_name,
    is_unknown,
    relation_of,
    same_name,
)
from vlt.grade.times import same_time, time_of
from vlt.grade.tokens import Tree
from vlt.grade.units import PERCENT, same_unit, unit_of
from vlt.grade.verdict import STRICT, Options

Outcome = tuple[bool | None, str]
Symbolic = Callable[[Tree, Tree], bool | None]

_RELATION = re.compile(r"[=<>≤≥≠≈∈∥⊥≅∼]|^(?:the )?(?:point |vertex )?[A-Z]'?(?:_\{?\d\}?)? ?\(|^the point ?\(", re.I)
_FACTOR = re.compile(r"-?\d+(?:\.\d+)?[a-zA-Z]")
_TIME_LIKE = re.compile(r"\d{1,2} ?:\d|\d ?[ap]\.?m\b|o'clock|noon|midnight", re.I)
_COMPOUND = re.compile(r"\d[\d.]* ?[A-Za-z'°]+\.?,? ?(?:and )?\d")
_WHOLE = re.compile(r"-?\d{1,15}")


def _years(items: Sequence[str]) -> bool:
    return len(items) == 2 and all(re.fullmatch(r"[12]\d{3}", item) for item in items)


def _maths(text: str) -> bool:
    number = quantity_of(text)
    return number is not None and is_maths(text, number)


def _exactly(text: str) -> bool:
    """Whether a number has no decimals, so that "about" it is not it."""
    number = quantity_of(text)
    return number is None or not number.places


def _listed(items: Sequence[str]) -> bool:
    """Whether square brackets hold a list (of texts or years), no interval or vector."""
    return not all_maths(tuple(items)) or _years(items)


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

    def agrees(self, head: str, aside: str, gold: str) -> bool:
        """Whether a remark in brackets says again what stands before it: 12 (twelve), 5 (cm)."""
        exact, decimal = quantity_of(head), quantity_of(aside)
        if self.same(aside, gold)[0]:
            return True
        if unit_of(aside) is not None and not re.search(r"[A-Za-z]\d", aside):
            return exact is not None and exact.unit in (None, unit_of(aside))
        return exact is not None and decimal is not None and rounds_to(exact, decimal)

    def _case(self, got: str, gold: str) -> bool:
        """Texts equal but for case are equal, unless they are a number of mW and one of MW."""
        if got.lower() != gold.lower() or not any(c.isdigit() for c in gold):
            return True
        a, b = quantity_of(got), quantity_of(gold)
        return a is None or b is None or same_unit(a.unit, b.unit)

    def _by_kind(self, got: str, gold: str, folded: str) -> Outcome:
        if folded in ("yes", "no", "true", "false"):
            return first_word(got) == folded, "yes or no"
        return self._plainly(got, gold)

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
            return self._any(((value, gold) for value in self._values(here)), "a relation")
        if there is not None and here is None:
            return self._any(((got, value) for value in self._values(there)), "no relation")
        if here is None or there is None:
            return None
        if here.signs != there.signs or len(here.sides) != len(there.sides):
            a, b = assignment(here), assignment(there)
            if a and b and same_name(a[0], b[0]):
                return self._any(
                    ((x, y) for x in self._values(here) for y in self._values(there)),
                    "another relation",
                )
            return False, "another relation"
        if here.symmetric and len(here.sides) == 2:
            a, b = assignment(here), assignment(there)
            if a and b and same_name(a[0], b[0]):
                outcome = self.same(a[1], b[1])
                return self._side(a[1], b[1]) if outcome[0] is False else outcome
            left, right = here.sides
            for x, y in ((left, right), (right, left)):
                first = self._side(x, there.sides[0])
                if first[0] is not False:
                    second = self._side(y, there.sides[1])
                    if second[0] is not False:
                        return (None if None in (first[0], second[0]) else True), "same equation"
            return False, "another variable" if a and b else "another equation"
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
        if (" mod " in got) != (" mod " in gold):
            return False, "a class of numbers"
        verdict = same_number(a, b, self.options, rounding=False)
        return (self.symbolic(a.number, b.number) if verdict is None else verdict), "sides"

    def _any(self, pairs: Iterable[tuple[str, str]], none: str) -> Outcome:
        """Whether one of several readings is right."""
        best: Outcome = (False, none)
        for got, gold in pairs:
            outcome = self.same(got, gold)
            if outcome[0]:
                return outcome
            best = outcome if outcome[0] is None or best[1] == none else best
        return best

    def _values(self, relation: Relation) -> list[str]:
        """What an equation says that something is: 5 for `x = 5` and for `2 + 3 = 5`.

        Every side that can be computed has to have the value; a decimal after ≈ (or written as an
        equal) may be what the exact number before it rounds to, and then both are said.
        """
        sides, signs = relation.sides, relation.signs
        if not relation.equation:
            return []
        named = assignment(relation)
        if named and len(sides) == 2:
            if named[0] and len(named[0]) == 1 and _FACTOR.fullmatch(named[1]):
                return []  # in y = 2m the m is no unit
            if len(named[0]) > 1 and named[1].isalpha() and not _maths(named[1]):
                return []  # "London = Paris" names neither
            return [] if "≈" in signs and _exactly(named[1]) else [named[1]]
        last = sides[-1]
        value = quantity_of(last)
        if value is None:
            return [last] if named and len(sides) == 2 else []
        values = [last]
        for side, sign in zip(reversed(sides[:-1]), reversed(signs), strict=True):
            if is_unknown(side) or (is_name(side) and (" " not in side or side is sides[0])):
                continue
            number = computed(side)
            if number is None:
                number = quantity_of(side)
                if number and value and not same_unit(number.unit, value.unit) and PERCENT not in (
                    number.unit, value.unit
                ):
                    return []  # 28 cm = 28 kg
            if number is None or value is None:
                return []
            if self._equals(number, value):
                continue
            if len(values) > 1 or not (sign == "≈" or "…" in last or last.endswith("...")):
                return []
            if not rounds_to(number, value if value.places else Quantity(None, None)):
                return []
            values, value = [last, side], number
        return values if "≈" not in signs or len(values) > 1 else []

    def _equals(self, a: Quantity, b: Quantity) -> bool:
        if a.value is not None and b.value is not None:
            shares = [q.value / 100 if q.unit == PERCENT else q.value for q in (a, b) if q.value is not None]
            return shares[0] == shares[1]
        x, y = approximate(a.number), approximate(b.number)  # None where there are variables
        if x is None or y is None:
            return compare(a.number, b.number) is True
        return abs(x - y) <= 1e-12 * abs(x)

    # -- collections

    def _groups(self, got: str, relation: Relation | None, gold: Group) -> Outcome:
        here = group_of(got)
        if (here is None or here.kind == "list") and relation is not None and here != gold:
            name = relation.sides[0]
            if (is_name(name) or is_unknown(name)) and len(relation.sides) == 2:
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
        if gold.kind in ("ratio", "range"):
            if here.kind != gold.kind and "to" not in (here.brackets, gold.brackets):
                return False, f"no {gold.kind}"
            return self._all(here.items, gold.items, f"{gold.kind}s")
        if here.kind == "range" and gold.kind in ("list", "bracket") and _years(gold.items):
            return self._all(here.items, gold.items, "years")
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
        names = self._names(gold)
        theirs = self._names(here)
        if (len(set(names)) > 1 and not any(theirs)) or (len(set(theirs)) > 1 and not any(names)):
            return self._all(here.items, gold.items, "values in order")
        return self._multiset(here, gold)

    def _names(self, group: Group) -> list[str]:
        """What each part of a list names ("x" in "x = 5"); empty for a part that names nothing."""
        found = [relation_of(item) if "=" in item else None for item in group.items]
        named = [assignment(relation) if relation else None for relation in found]
        return [bare_name(pair[0]).split("_")[0] if pair else "" for pair in named]

    def _each_named(self, group: Group) -> bool:
        return all("=" in item for item in group.items)

    def _brackets(self, here: Group, gold: Group) -> Outcome:
        if gold.brackets == "[]" and here.kind == "list" and not here.joined:
            return self._multiset(here, gold) if _listed(gold.items) else (False, "no brackets")
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
