"""Are two expressions equal? First exactly, then by looking for a point where they differ."""

from __future__ import annotations

from fractions import Fraction

from vlt.grade.exact import Exact
from vlt.grade.numeric import differ, huge, infinite
from vlt.grade.sums import Undecided, number_of
from vlt.grade.tokens import Tree


def rational(tree: Tree) -> Fraction | None:
    """The rational number that a tree equals, or None if none is found."""
    if tree[0] == "n":
        return tree[1]
    try:
        return number_of(*Exact().quotient(tree))
    except (Undecided, OverflowError, RecursionError):
        return None


def compare(a: Tree, b: Tree) -> bool | None:
    """Whether two trees are equal; None if the symbolic tier has to decide."""
    if a == b:
        return True
    try:
        exact = Exact()
        top_a, bottom_a = exact.quotient(a)
        top_b, bottom_b = exact.quotient(b)
        if exact.times(top_a, bottom_b) == exact.times(top_b, bottom_a):
            return True
        if not exact.opaque:
            return False
    except (Undecided, OverflowError, RecursionError, KeyError):
        pass
    if huge(a) != huge(b) or infinite(a) != infinite(b) or differ(a, b):
        return False
    return None
