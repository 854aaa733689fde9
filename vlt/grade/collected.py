"""Comparing answers with several parts. Part of `Judge`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from vlt.grade.groups import Group, group_of
from vlt.grade.relations import Relation, assignment, bare_name, is_name, is_unknown, relation_of
from vlt.grade.terms import all_maths
from vlt.grade.verdict import Outcome


def _years(items: Sequence[str]) -> bool:
    return len(items) == 2 and all(re.fullmatch(r"[12]\d{3}", item) for item in items)


def _listed(items: Sequence[str]) -> bool:
    """Whether square brackets enclose a list (of texts or years), not an interval or a vector."""
    return not all_maths(tuple(items)) or _years(items)


class Collections:
    """The rules of `Judge` for tuples, sets, lists, ratios and ranges."""

    def same(self, got: str, gold: str) -> Outcome:
        """See `Judge`."""
        raise NotImplementedError

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
        if names and names[0] and len({*names, *theirs}) == 1:  # x_1 = 1, x_2 = 2
            here, gold = self._unnamed(here), self._unnamed(gold)
        if (len(set(names)) > 1 and not any(theirs)) or (len(set(theirs)) > 1 and not any(names)):
            return self._all(here.items, gold.items, "values in order")
        return self._multiset(here, gold)

    def _names(self, group: Group) -> list[str]:
        """What each part of a list names ("x" in "x = 5"); empty for a part that names nothing."""
        found = [relation_of(item) if "=" in item else None for item in group.items]
        named = [assignment(relation) if relation else None for relation in found]
        return [bare_name(pair[0]).split("_")[0] if pair else "" for pair in named]

    def _unnamed(self, group: Group) -> Group:
        return replace(group, items=tuple(item.split("=", 1)[1].strip() for item in group.items))

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
        """Whether all parts are equal, in order."""
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
        """Whether each part of gold occurs once, in any order."""
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
