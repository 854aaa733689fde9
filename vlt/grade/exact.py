"""Exact equality of expressions without a computer algebra system, in microseconds.

A value is a quotient of two sums of monomials with rational coefficients. The atoms of a monomial
are variables, pi, e, i, prime numbers under a root (8^(1/2) is 2 * 2^(1/2)) and, opaque, functions
and roots of sums. Two quotients are equal when they are after cross-multiplication. For values
whose atoms are all plain that decides both ways; with an opaque atom only equality is proved, and
`compare` looks at numbers next. What neither settles is None: the symbolic tier's work.
"""

from __future__ import annotations

import cmath
import math
from fractions import Fraction
from typing import Any

from vlt.grade.expression import Tree

Monomial = tuple[tuple[str, Fraction], ...]
Sum = dict[Monomial, Fraction]

MAX_TERMS = 200
MAX_POWER = 64
MAX_BITS = 20_000
MAX_FACTORIAL = 200
_ONE: Sum = {(): Fraction(1)}


class Undecided(Exception):
    """Outside what is computed here, or too big."""


class Exact:
    """Turns trees into quotients of sums; one object per comparison (it holds opaque atoms)."""

    def __init__(self) -> None:
        self.sums: dict[str, Sum] = {}  # what a root-of-a-sum atom is the root of
        self.opaque = False
        self.work = 0

    def quotient(self, tree: Tree) -> tuple[Sum, Sum]:
        """(numerator, denominator) of a tree; raises Undecided."""
        kind = tree[0]
        if kind == "n":
            return ({(): tree[1]} if tree[1] else {}), _ONE
        if kind == "v":
            return self._atom("v:" + tree[1]), _ONE
        if kind == "c":
            return self._atom(tree[1]), _ONE
        if kind == "+":
            total: tuple[Sum, Sum] = ({}, _ONE)
            for part in tree[1]:
                top, bottom = self.quotient(part)
                if bottom == total[1]:
                    total = (_add(total[0], top), bottom)
                else:
                    total = (
                        _add(self._times(total[0], bottom), self._times(top, total[1])),
                        self._times(total[1], bottom),
                    )
            return total
        if kind == "*":
            top, bottom = _ONE, _ONE
            for part in tree[1]:
                a, b = self.quotient(part)
                top, bottom = self._times(top, a), self._times(bottom, b)
            return self._tidy(top, bottom)
        if kind == "^":
            return self._power(tree[1], tree[2])
        if kind == "root":
            degree = self._rational(tree[1])
            if degree is None or degree.denominator != 1 or not 2 <= degree <= MAX_POWER:
                raise Undecided
            radicand = self._rational(tree[2])
            if radicand is not None and radicand < 0 and degree % 2:
                top, bottom = self._root(({(): -radicand}, _ONE), Fraction(1) / degree)
                return self._scale(top, Fraction(-1)), bottom
            return self._root(self.quotient(tree[2]), Fraction(1) / degree)
        if kind == "f":
            return self._function(tree), _ONE
        raise Undecided

    # -- parts

    def _atom(self, name: str, exponent: Fraction = Fraction(1)) -> Sum:
        return {((name, exponent),): Fraction(1)}

    def _rational(self, tree: Tree) -> Fraction | None:
        """The rational number that a tree is, or None."""
        if tree[0] == "n":
            return tree[1]  # type: ignore[no-any-return]
        top, bottom = self.quotient(tree)
        return _number(top, bottom)

    def _function(self, tree: Tree) -> Sum:
        name, arguments = tree[1], tree[2]
        if name == "factorial":
            n = self._rational(arguments[0])
            if n is None or n.denominator != 1 or not 0 <= n <= MAX_FACTORIAL:
                raise Undecided
            return {(): Fraction(math.factorial(int(n)))}
        if name == "abs":
            number = self._rational(arguments[0])
            if number is not None:
                return {(): abs(number)} if number else {}
        parts = [_written(*self.quotient(argument)) for argument in arguments]
        self.opaque = True
        return self._atom(f"f:{name}({';'.join(parts)})")

    def _power(self, base: Tree, exponent: Tree) -> tuple[Sum, Sum]:
        power = self._rational(exponent)
        if power is None:
            inner = f"{_written(*self.quotient(base))}^{_written(*self.quotient(exponent))}"
            self.opaque = True
            return self._atom(f"f:pow({inner})"), _ONE
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
        out: tuple[Sum, Sum] = (_ONE, _ONE)
        for _ in range(n):
            out = (self._times(out[0], top), self._times(out[1], bottom))
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
            return self._times(_number_power(coefficient, power), self._roots(atoms, power))
        # take the rational content out: sqrt(4x + 8) = 2 sqrt(x + 2)
        numbers = list(value.values())
        content = Fraction(
            math.gcd(*(abs(n.numerator) for n in numbers)), math.lcm(*(n.denominator for n in numbers))
        )
        rest = {atoms: n / content for atoms, n in value.items()}
        name = "s:" + _written(rest, _ONE)
        self.sums[name] = rest
        self.opaque = True
        return self._times(_number_power(content, power), self._atom(name, power))

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

    def _times(self, a: Sum, b: Sum) -> Sum:
        if a is _ONE:
            return b
        if b is _ONE:
            return a
        self.work += len(a) * len(b)
        if self.work > 20 * MAX_TERMS:
            raise Undecided
        out: Sum = {}
        for atoms_a, n in a.items():
            for atoms_b, m in b.items():
                for atoms, number in self._product(atoms_a, atoms_b).items():
                    total = out.get(atoms, 0) + number * n * m
                    if total:
                        out[atoms] = total
                    else:
                        out.pop(atoms, None)
        if len(out) > MAX_TERMS or any(_bits(n) > MAX_BITS for n in out.values()):
            raise Undecided
        return out

    def _product(self, a: Monomial, b: Monomial) -> Sum:
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
                out = self._times(out, base)
        return out

    def _tidy(self, top: Sum, bottom: Sum) -> tuple[Sum, Sum]:
        """A denominator of one term goes into the numerator."""
        if not bottom:
            raise Undecided
        if bottom is _ONE or len(bottom) != 1:
            return top, bottom
        ((atoms, number),) = bottom.items()
        inverse: Sum = {tuple((name, -power) for name, power in atoms): 1 / number}
        if atoms:  # reduce 3^(-1/2) to 3^(1/2) / 3
            reduced = self._product(next(iter(inverse)), ())
            reduced = _ONE
            for name, power in atoms:
                reduced = self._times(reduced, self._inverse_atom(name, power))
            inverse = self._scale(reduced, 1 / number)
        return self._times(top, inverse), _ONE

    def _inverse_atom(self, name: str, power: Fraction) -> Sum:
        if name == "i":
            return {((name, Fraction(1)),): Fraction(-1)}
        if name.startswith("p:"):
            return {((name, 1 - power),): 1 / Fraction(int(name[2:]))}
        if name.startswith("s:"):
            raise Undecided
        return {((name, -power),): Fraction(1)}


def _add(a: Sum, b: Sum) -> Sum:
    out = dict(a)
    for atoms, number in b.items():
        total = out.get(atoms, 0) + number
        if total:
            out[atoms] = total
        else:
            out.pop(atoms, None)
    if len(out) > MAX_TERMS:
        raise Undecided
    return out


def _bits(n: Fraction) -> int:
    return n.numerator.bit_length() + n.denominator.bit_length()


def _number(top: Sum, bottom: Sum) -> Fraction | None:
    """The rational number that a quotient is, or None."""
    if any(top.keys() - {()}) or any(bottom.keys() - {()}) or not bottom:
        return None
    return top.get((), Fraction(0)) / bottom[()]


def _written(top: Sum, bottom: Sum) -> str:
    """A name for a quotient: the same for the same sums."""

    def one(value: Sum) -> str:
        return "+".join(
            f"{number}" + "".join(f"*{name}^{power}" for name, power in atoms)
            for atoms, number in sorted(value.items())
        )

    return one(top) if bottom == _ONE else f"({one(top)})/({one(bottom)})"


def _monomial_power(value: Sum, n: int, exact: Exact) -> Sum:
    if not value:
        if n == 0:
            raise Undecided
        return {}
    ((atoms, number),) = value.items()
    if _bits(number) * n > MAX_BITS:
        raise Undecided
    out: Sum = {(): number**n}
    for name, power in atoms:
        exponent = power * n
        if exponent.denominator > MAX_POWER or abs(exponent) > 10**6:
            raise Undecided
        if name.startswith(("p:", "s:")) and n > MAX_POWER:
            raise Undecided
        out = exact._times(out, exact._product(((name, exponent),), (("", Fraction(0)),)))
    return out


def _number_power(number: Fraction, power: Fraction) -> Sum:
    """A rational to a fractional power, as primes with exponents in [0, 1)."""
    if number == 0:
        return {}
    out = Fraction(1)
    kept: dict[str, Fraction] = {}
    if number < 0:
        if power.denominator != 2:
            raise Undecided
        turns = power.numerator % 4
        out *= -1 if turns >= 2 else 1
        kept["i"] = Fraction(1)
    for base, sign in ((abs(number.numerator), 1), (number.denominator, -1)):
        for prime, count in _factors(base):
            exponent = count * power * sign
            whole = math.floor(exponent)
            if abs(whole) * prime.bit_length() > MAX_BITS:
                raise Undecided
            out *= Fraction(prime) ** whole
            if exponent != whole:
                kept[f"p:{prime}"] = exponent - whole
    return {tuple(sorted(kept.items())): out}


def _factors(n: int) -> list[tuple[int, int]]:
    """The prime factors of n with their counts; raises Undecided beyond 10^12."""
    if n > 10**12:
        raise Undecided
    found = []
    prime = 2
    while prime * prime <= n:
        if prime > 2000:
            raise Undecided
        count = 0
        while n % prime == 0:
            n //= prime
            count += 1
        if count:
            found.append((prime, count))
        prime += 1 if prime == 2 else 2
    if n > 1:
        found.append((n, 1))
    return found


def rational(tree: Tree) -> Fraction | None:
    """The rational number that a tree equals, where that is found."""
    if tree[0] == "n":
        return tree[1]  # type: ignore[no-any-return]
    try:
        return _number(*Exact().quotient(tree))
    except (Undecided, OverflowError, RecursionError):
        return None


def compare(a: Tree, b: Tree) -> bool | None:
    """Whether two trees are equal; None when that takes the symbolic tier."""
    if a == b:
        return True
    try:
        exact = Exact()
        top_a, bottom_a = exact.quotient(a)
        top_b, bottom_b = exact.quotient(b)
        if exact._times(top_a, bottom_b) == exact._times(top_b, bottom_a):
            return True
        if not exact.opaque:
            return False
    except (Undecided, OverflowError, RecursionError, KeyError):
        pass
    if _huge(a) != _huge(b):
        return False
    return _numerically(a, b)


def _huge(tree: Tree) -> bool:
    """A tower such as 9^9^9, or a factorial of millions: no number that an answer stands for."""
    try:
        if tree[0] == "f" and tree[1] == "factorial":
            return _evaluate(tree[2][0], {}).real > 10 * MAX_FACTORIAL
        if tree[0] == "^" and abs(_evaluate(tree[1], {})) >= 2:
            return _evaluate(tree[2], {}).real > 10 * MAX_BITS
    except OverflowError:
        return True
    except (ArithmeticError, ValueError, KeyError, Undecided, RecursionError, TypeError):
        return False
    return False


# -- numbers

_POINTS = (0.7310585786, 1.6180339887, 2.3025850930, -0.5772156649, 3.3598856662, -1.9021605831)


def approximate(tree: Tree) -> float | None:
    """A real number for a tree without variables, or None."""
    try:
        value = _evaluate(tree, {})
    except (ArithmeticError, ValueError, KeyError, Undecided, RecursionError, TypeError):
        return None
    return value.real if abs(value.imag) < 1e-12 and math.isfinite(value.real) else None


def _numerically(a: Tree, b: Tree) -> bool | None:
    """False when values at sample points differ; never True."""
    names = sorted(_variables(a) | _variables(b))
    for shift in range(4 if names else 1):
        at = {name: complex(_POINTS[(i * 2 + shift) % 6]) for i, name in enumerate(names)}
        try:
            x, y = _evaluate(a, at), _evaluate(b, at)
        except (ArithmeticError, ValueError, KeyError, Undecided, RecursionError, TypeError):
            continue
        size = max(1.0, abs(x), abs(y))
        if not math.isfinite(size) or size > 1e200:
            continue
        if abs(x - y) > 1e-6 * size:
            return False
    return None


def _variables(tree: Tree) -> set[str]:
    found: set[str] = set()
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple) and node:
            if node[0] == "v":
                found.add(node[1])
            elif node[0] == "f" and str(node[1]).startswith("call:"):
                found.add(node[1])
            stack += [part for part in node if isinstance(part, tuple)]
    return found


def _evaluate(tree: Tree, at: dict[str, complex]) -> complex:
    kind = tree[0]
    if kind == "n":
        return complex(float(tree[1]))
    if kind == "v":
        return at[tree[1]]
    if kind == "c":
        return {"pi": complex(math.pi), "e": complex(math.e), "i": 1j}[tree[1]]
    if kind == "+":
        return sum((_evaluate(part, at) for part in tree[1]), 0j)
    if kind == "*":
        out = 1 + 0j
        for part in tree[1]:
            out *= _evaluate(part, at)
        return out
    if kind == "^":
        return _evaluate(tree[1], at) ** _evaluate(tree[2], at)
    if kind == "root":
        degree = _evaluate(tree[1], at)
        value = _evaluate(tree[2], at)
        if value.imag == 0 and value.real < 0 and degree.imag == 0 and degree.real % 2 == 1:
            return -((-value) ** (1 / degree))
        return value ** (1 / degree)
    name, arguments = tree[1], [_evaluate(part, at) for part in tree[2]]
    if name.startswith("call:"):
        return arguments[0] ** 3 + at[name]
    return _FUNCTIONS[name](*arguments)


def _factorial(n: complex) -> complex:
    if n.imag or n.real < 0 or n.real != int(n.real) or n.real > 150:
        raise Undecided
    return complex(math.factorial(int(n.real)))


def _log(x: complex, base: complex = 10) -> complex:
    return cmath.log(x) / cmath.log(base)


def _real(function: Any) -> Any:
    return lambda *values: complex(function(*(v.real for v in values)))


def _whole(function: Any) -> Any:
    return lambda *values: complex(function(*(int(v.real) for v in values)))


_FUNCTIONS: dict[str, Any] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "cot": lambda x: 1 / cmath.tan(x),
    "sec": lambda x: 1 / cmath.cos(x),
    "csc": lambda x: 1 / cmath.sin(x),
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
    "sinh": cmath.sinh,
    "cosh": cmath.cosh,
    "tanh": cmath.tanh,
    "ln": cmath.log,
    "log": _log,
    "abs": lambda x: complex(abs(x)),
    "max": _real(max),
    "min": _real(min),
    "floor": _real(math.floor),
    "ceil": _real(math.ceil),
    "gcd": _whole(math.gcd),
    "lcm": _whole(math.lcm),
    "factorial": _factorial,
}
