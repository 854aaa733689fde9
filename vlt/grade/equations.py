"""Comparing equations and inequalities. Part of `Judge`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from vlt.grade.amounts import rounds_to, same_number
from vlt.grade.collected import Collections
from vlt.grade.equality import compare
from vlt.grade.expression import parse
from vlt.grade.numeric import approximate
from vlt.grade.quantity import Quantity, quantity_of
from vlt.grade.relations import (
    Relation,
    assignment,
    is_name,
    is_unknown,
    same_name,
)
from vlt.grade.terms import computed, is_maths
from vlt.grade.units import PERCENT, same_unit
from vlt.grade.verdict import Options, Outcome

_FACTOR = re.compile(r"-?\d+(?:\.\d+)?[a-zA-Z]")


def _maths(text: str) -> bool:
    number = quantity_of(text)
    return number is not None and is_maths(text, number)


def _exactly(text: str) -> bool:
    """Whether a number has no decimals, so that an approximation does not equal it."""
    number = quantity_of(text)
    return number is None or not number.places


class Equations(Collections):
    """The rules of `Judge` for relations."""

    symbolic: Any
    options: Options

    def _relations(
        self, got: str, here: Relation | None, gold: str, there: Relation | None
    ) -> Outcome | None:
        if here is not None and any(sign == "∈" for sign in here.signs) and there is None:
            return (
                self.same(here.sides[-1], gold) if is_name(here.sides[0]) else (False, "relation")
            )
        if there is None and here is not None:
            return self._any(((value, gold) for value in self._values(here)), "a relation")
        if there is not None and there.signs == ("∈",) and here is None and is_name(there.sides[0]):
            return self.same(got, there.sides[1])
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
        """Compare one side of an equation: exactly, and units may not be added or dropped."""
        if got.replace(" ", "") == gold.replace(" ", ""):
            return True, "same"
        a, b = quantity_of(got), quantity_of(gold)
        if a is None or b is None:
            return self.same(got, gold) if got != gold else (True, "same")
        if a.unit != b.unit or a.currency != b.currency:
            x, y = parse(got), parse(gold)  # bh and hb have no hours in them
            same = x is not None and y is not None and compare(x, y) is True
            return same, "sides" if same else "another unit"
        if (" mod " in got) != (" mod " in gold):
            return False, "a class of numbers"
        verdict = same_number(a, b, self.options, rounding=False)
        return (self.symbolic(a.number, b.number) if verdict is None else verdict), "sides"

    def _any(self, pairs: Iterable[tuple[str, str]], none: str) -> Outcome:
        """Whether any of several readings is correct."""
        best: Outcome = (False, none)
        for got, gold in pairs:
            outcome = self.same(got, gold)
            if outcome[0]:
                return outcome
            best = outcome if outcome[0] is None or best[1] == none else best
        return best

    def _values(self, relation: Relation) -> list[str]:
        """The values that an equation states: 5 for `x = 5` and for `2 + 3 = 5`.

        Every side that can be computed must have that value; a decimal after ≈ (or written as an
        equal) may be the rounded form of the exact number before it, and then both are stated.
        """
        sides, signs = relation.sides, relation.signs
        if not relation.equation:
            return []
        named = assignment(relation)
        if named and len(sides) == 2:
            if named[0] and len(named[0]) == 1 and _FACTOR.fullmatch(named[1]):
                return []  # in y = 2m the m is not a unit
            if len(named[0]) > 1 and named[1].isalpha() and not _maths(named[1]):
                return []  # "London = Paris" names neither
            return [] if "≈" in signs and _exactly(named[1]) else [named[1]]
        last = sides[-1]
        value = quantity_of(last)
        if value is None:
            return [last] if named and len(sides) == 2 else []
        if len(sides) > 2 and not re.search(r"[\d\\π]", last):
            return []
        values = [last]
        names_only = False
        for side, sign in zip(reversed(sides[:-1]), reversed(signs), strict=True):
            named_side = is_unknown(side) or (
                is_name(side) and (" " not in side or side is sides[0])
            )
            if named_side:
                names_only = True
                continue
            if names_only:
                return []  # x = 4 = y = 4: names come first
            number = computed(side)
            if number is None:
                number = quantity_of(side)
                if (
                    number
                    and value
                    and not same_unit(number.unit, value.unit)
                    and PERCENT not in (number.unit, value.unit)
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
            shares = [
                q.value / 100 if q.unit == PERCENT else q.value
                for q in (a, b)
                if q.value is not None
            ]
            return shares[0] == shares[1]
        x, y = approximate(a.number), approximate(b.number)  # None where there are variables
        if x is None or y is None:
            return compare(a.number, b.number) is True
        return abs(x - y) <= 1e-12 * abs(x)
