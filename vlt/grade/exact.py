"""Exact equality of expressions without a computer algebra system, in microseconds.

A value is a quotient of two sums of monomials with rational coefficients. The atoms of a monomial
are variables, pi, e, i, prime numbers under a root (8^(1/2) is 2 * 2^(1/2)) and, opaque, functions
and roots of sums. Two quotients are equal when they are after cross-multiplication. For values
with only plain atoms this decides both ways; with an opaque atom only equality is proved, and
`compare` tries numbers next. What neither settles is None, left to the symbolic tier.
"""

from __future__ import annotations

import math
from fractions import Fraction

from vlt.grade.sums import (
    MAX_BITS,
    MAX_FACTORIAL,
    MAX_POWER,
    MAX_TERMS,
    ONE,
    Monomial,
    Sum,
    Undecided,
    add,
    bits,
    number_of,
    number_power,
    written,
)
from vlt.grade.tokens import Tree


class Exact:
    """Turns trees into quotients of sums; one object per comparison (it stores opaque atoms)."""

    def __init__(self) -> None:
        self.sums: dict[str, Sum] = {}  # what a root-of-a-sum atom is the root of
        self.opaque = False
        self.work = 0

    def quotient(self, tree: Tree) -> tuple[Sum, Sum]:
        """(numerator, denominator) of a tree; raises Undecided."""
        kind = tree[0]
        if kind == "n":
            return ({(): tree[1]} if tree[1] else {}), ONE
        if kind == "v":
            return self._atom("v:" + tree[1]), ONE
        if kind == "c":
            return self._atom(tree[1]), ONE
        if kind == "+":
            total: tuple[Sum, Sum] = ({}, ONE)
            for part in tree[1]:
                top, bottom = self.quotient(part)
                if bottom == total[1]:
                    total = (add(total[0], top), bottom)
                else:
                    total = (
                        add(self.times(total[0], bottom), self.times(top, total[1])),
                        self.times(total[1], bottom),
                    )
            return total
        if kind == "*":
            top, bottom = ONE, ONE
            for part in tree[1]:
                a, b = self.quotient(part)
                top, bottom = self.times(top, a), self.times(bottom, b)
            return self._tidy(top, bottom)
        if kind == "^":
            return self._power(tree[1], tree[2])
        if kind == "root":
            degree = self._rational(tree[1])
            if degree is None or degree.denominator != 1 or not 2 <= degree <= MAX_POWER:
                raise Undecided
            radicand = self._rational(tree[2])
            if radicand is not None and radicand < 0 and degree % 2:
                top, bottom = self._root(({(): -radicand}, ONE), Fraction(1) / degree)
                return self._scale(top, Fraction(-1)), bottom
            return self._root(self.quotient(tree[2]), Fraction(1) / degree)
        if kind == "f":
            return self._function(tree), ONE
        raise Undecided

    # -- parts

    def _atom(self, name: str, exponent: Fraction = Fraction(1)) -> Sum:
        return {((name, exponent),): Fraction(1)}

    def _rational(self, tree: Tree) -> Fraction | None:
        """The rational number that a tree is, or None."""
        if tree[0] == "n":
            return tree[1]
        top, bottom = self.quotient(tree)
        return number_of(top, bottom)

    def _function(self, tree: Tree) -> Sum:
        name, arguments = tree[1], tree[2]
        if name == "factorial":
            n = self._rational(arguments[0])
            if n is None or n.denominator != 1 or not 0 <= n <= MAX_FACTORIAL:
                raise Undecided
            return {(): Fraction(math.factorial(int(n)))}
        if name == "binomial":
            numbers = [self._rational(argument) for argument in arguments]
            if any(n is None or n.denominator != 1 or not 0 <= n <= MAX_FACTORIAL for n in numbers):
                raise Undecided
            return {(): Fraction(math.comb(*(int(n) for n in numbers if n is not None)))}
        if name == "abs":
            number = self._rational(arguments[0])
            if number is not None:
                return {(): abs(number)} if number else {}
        parts = [written(*self.quotient(argument)) for argument in arguments]
        if name in ("gcd", "lcm", "max", "min"):
            parts.sort()
        self.opaque = True
        return self._atom(f"f:{name}({';'.join(parts)})")

    def _power(self, base: Tree, exponent: Tree) -> tuple[Sum, Sum]:
        power = self._rational(exponent)
        if power is None:
            inner = f"{written(*self.quotient(base))}^{written(*self.quotient(exponent))}"
            self.opaque = True
            return self._atom(f"f:pow({inner})"), ONE
        value = self.quotient(base)
        if power.denominator != 1:
            return self._root(value, power)
        return self._integer_power(value, int(power))

    def _integer_power(self, value: tuple[Sum, Sum], n: int) -> tuple[Sum, Sum]:
        top, bottom = value
        if n < 0:
            top, bottom, n = bottom, top, -n
        if not bottom:
            raise Undecided  # division by zero
        if len(top) <= 1 and len(bottom) <= 1:
            return self._tidy(_monomial_power(top, n, self), _monomial_power(bottom, n, self))
        if n > MAX_POWER:
            raise Undecided
        out: tuple[Sum, Sum] = (ONE, ONE)
        for _ in range(n):
            out = (self.times(out[0], top), self.times(out[1], bottom))
        return self._tidy(*out)

    def _root(self, value: tuple[Sum, Sum], power: Fraction) -> tuple[Sum, Sum]:
        if abs(power.numerator) > MAX_POWER or power.denominator > MAX_POWER:
            raise Undecided
        top, bottom = value
        if power < 0:
            top, bottom, power = bottom, top, -power
        if not bottom:
            raise Undecided
        return self._tidy(self._root_of_sum(top, power), self._root_of_sum(bottom, power))

    def _root_of_sum(self, value: Sum, power: Fraction) -> Sum:
        if not value:
            return {}
        if len(value) == 1:
            ((atoms, coefficient),) = value.items()
            return self.times(number_power(coefficient, power), self._roots(atoms, power))
        # take the rational content out: sqrt(4x + 8) = 2 sqrt(x + 2)
        numbers = list(value.values())
        content = Fraction(
            math.gcd(*(abs(n.numerator) for n in numbers)),
            math.lcm(*(n.denominator for n in numbers)),
        )
        rest = {atoms: n / content for atoms, n in value.items()}
        name = "s:" + written(rest, ONE)
        self.sums[name] = rest
        self.opaque = True
        return self.times(number_power(content, power), self._atom(name, power))

    def _roots(self, atoms: Monomial, power: Fraction) -> Sum:
        out = []
        for name, exponent in atoms:
            if name == "i" or (name[:2] in ("v:", "f:") and exponent % 2 == 0):
                raise Undecided  # sqrt(x^2) is |x|
            out.append((name, exponent * power))
        return {tuple(out): Fraction(1)}

    # -- arithmetic

    def _scale(self, a: Sum, factor: Fraction) -> Sum:
        return {atoms: n * factor for atoms, n in a.items()}

    def times(self, a: Sum, b: Sum) -> Sum:
        """The product of two sums; raises Undecided if all products would take too much work."""
        if a is ONE:
            return b
        if b is ONE:
            return a
        self.work += len(a) * len(b)
        if self.work > 20 * MAX_TERMS:
            raise Undecided
        out: Sum = {}
        for atoms_a, n in a.items():
            for atoms_b, m in b.items():
                for atoms, number in self.product(atoms_a, atoms_b).items():
                    total = out.get(atoms, 0) + number * n * m
                    if total:
                        out[atoms] = total
                    else:
                        out.pop(atoms, None)
        if len(out) > MAX_TERMS or any(bits(n) > MAX_BITS for n in out.values()):
            raise Undecided
        return out

    def product(self, a: Monomial, b: Monomial) -> Sum:
        """The product of two monomials, roots and powers of i reduced."""
        if not a:
            return {b: Fraction(1)}
        if not b:
            return {a: Fraction(1)}
        powers = dict(a)
        for name, exponent in b:
            powers[name] = powers.get(name, Fraction(0)) + exponent
        number = Fraction(1)
        extra: list[tuple[Sum, int]] = []
        kept = []
        for name, exponent in sorted(powers.items()):
            if exponent == 0:
                continue
            if name == "i":
                whole = int(exponent) % 4
                number *= -1 if whole >= 2 else 1
                exponent = Fraction(whole % 2)
            elif name.startswith("p:"):
                whole = math.floor(exponent)
                number *= Fraction(int(name[2:])) ** whole
                exponent -= whole
            elif name.startswith("s:") and abs(exponent) >= 1:
                whole = math.floor(exponent)
                if whole < 0:
                    raise Undecided
                extra.append((self.sums[name], whole))
                exponent -= whole
            if exponent:
                kept.append((name, exponent))
        out: Sum = {tuple(kept): number}
        for base, n in extra:
            for _ in range(n):
                out = self.times(out, base)
        return out

    def _tidy(self, top: Sum, bottom: Sum) -> tuple[Sum, Sum]:
        """Move a single-term denominator into the numerator."""
        if not bottom:
            raise Undecided
        if bottom is ONE or len(bottom) != 1:
            return top, bottom
        ((atoms, number),) = bottom.items()
        inverse: Sum = {tuple((name, -power) for name, power in atoms): 1 / number}
        if atoms:  # reduce 3^(-1/2) to 3^(1/2) / 3
            reduced = ONE
            for name, power in atoms:
                reduced = self.times(reduced, self._inverse_atom(name, power))
            inverse = self._scale(reduced, 1 / number)
        return self.times(top, inverse), ONE

    def _inverse_atom(self, name: str, power: Fraction) -> Sum:
        if name == "i":
            return {((name, Fraction(1)),): Fraction(-1)}
        if name.startswith("p:"):
            return {((name, 1 - power),): 1 / Fraction(int(name[2:]))}
        if name.startswith("s:"):
            raise Undecided
        return {((name, -power),): Fraction(1)}


def _monomial_power(value: Sum, n: int, exact: Exact) -> Sum:
    if not value:
        if n == 0:
            raise Undecided
        return {}
    ((atoms, number),) = value.items()
    if bits(number) * n > MAX_BITS:
        raise Undecided
    out: Sum = {(): number**n}
    for name, power in atoms:
        exponent = power * n
        if exponent.denominator > MAX_POWER or abs(exponent) > 10**6:
            raise Undecided
        if name.startswith(("p:", "s:")) and n > MAX_POWER:
            raise Undecided
        out = exact.times(out, exact.product(((name, exponent),), (("", Fraction(0)),)))
    return out
