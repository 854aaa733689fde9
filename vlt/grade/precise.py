"""Are two trees equal? Their values are compared relatively, at a precision that grows with them.

Only the worker process imports this: nothing here is bounded except by the parent's deadline. Two
values are equal if they agree in all but a few digits at a precision of several hundred, and more if
the numbers in them are longer than that: the square root of 10^40 + 1 is not 10^20, and -1/300! is
not 1/300!.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mp, mpf

DIGITS = 60
GUARD = 20
"""Digits that may differ: the rounding error of expressions as they occur in answers."""
MAX_DIGITS = 4000
HUGE = 10**7
"""Larger powers and factorials do not occur as answers."""
POINTS = ((3, 7), (11, 5), (-13, 9), (17, 4), (-5, 3), (29, 8))
"""Values of the variables: top + i over bottom + 2i for the i-th."""


class Unknown(Exception):
    """The value cannot be distinguished from its neighbours here."""


def same(a: Any, b: Any) -> bool | None:
    """Whether two trees (as lists, numbers as text) are equal; None if undecided."""
    names = sorted(_names(a) | _names(b))
    agreed = 0
    for top, bottom in POINTS if names else POINTS[:1]:
        at = {name: (top + i, bottom + 2 * i) for i, name in enumerate(names)}
        try:
            if not _same_at(a, b, at):
                return False
            agreed += 1
        except (Unknown, ArithmeticError, ValueError, TypeError, NotImplementedError):
            continue  # undefined here, as 1/x is at 0
        except RecursionError:
            return None
    return True if agreed >= (2 if names else 1) else None


def _same_at(a: Any, b: Any, at: dict[str, tuple[int, int]]) -> bool:
    rough = _Value(DIGITS)
    x, y = _defined(rough, a, at), _defined(rough, b, at)
    if x is None or y is None:
        if x is y or at:
            raise Unknown
        return False  # 1/0 is not a number
    digits = max(4 * DIGITS, 2 * DIGITS + 3 * rough.longest)
    if digits > MAX_DIGITS:
        if abs(x - y) > mpf(10) ** -(DIGITS - GUARD) * max(abs(x), abs(y)) and x and y:
            return False
        raise Unknown
    fine = _Value(digits)
    u, v = fine.of(a, at), fine.of(b, at)
    with mp.workdps(digits):
        zero = [_is_zero(x, u, digits), _is_zero(y, v, digits)]
        if any(zero):
            return all(zero)
        return bool(abs(u - v) <= mpf(10) ** -(digits - 2 * GUARD) * max(abs(u), abs(v)))


def _defined(values: _Value, tree: Any, at: dict[str, tuple[int, int]]) -> Any:
    try:
        return values.of(tree, at)
    except ZeroDivisionError:
        return None


def _is_zero(rough: Any, fine: Any, digits: int) -> bool:
    """Whether a value is zero, i.e. only rounding error: it vanishes at a higher precision."""
    if not mpmath.isfinite(fine) or not mpmath.isfinite(rough):
        raise Unknown
    if fine == 0:
        return True
    if abs(rough - fine) <= mpf(10) ** -GUARD * abs(fine):
        return False
    if abs(fine) < mpf(10) ** -(digits // 2):
        return True
    raise Unknown


def _names(tree: Any) -> set[str]:
    if not isinstance(tree, list):
        return set()
    found = set()
    if tree[0] == "v" or (tree[0] == "f" and tree[1].startswith("call:")):
        found.add(tree[1])
    return found.union(*(_names(part) for part in tree)) if tree else found


class _Value:
    """Values of trees at a precision; `longest` is how many digits the largest number has."""

    def __init__(self, digits: int):
        self.digits = digits
        self.longest = 0

    def of(self, tree: Any, at: dict[str, tuple[int, int]]) -> Any:
        with mp.workdps(self.digits):
            return self._of(tree, at)

    def _of(self, tree: Any, at: dict[str, tuple[int, int]]) -> Any:
        value = self._one(tree, at)
        if value and mpmath.isfinite(value):
            size = abs(int(mpmath.mag(value)))
            self.longest = max(self.longest, size * 3 // 10)
        return value

    def _one(self, tree: Any, at: dict[str, tuple[int, int]]) -> Any:
        kind = tree[0]
        if kind == "n":
            number = Fraction(tree[1])
            self.longest = max(self.longest, len(tree[1]))
            return mpf(number.numerator) / number.denominator
        if kind == "v":
            return mpf(at[tree[1]][0]) / at[tree[1]][1]
        if kind == "c":
            return {"pi": mp.pi, "e": mp.e, "i": mpmath.mpc(0, 1), "inf": mpmath.inf}[tree[1]] + 0
        if kind in "+*":
            parts = [self._of(part, at) for part in tree[1]]
            total = mpf(kind == "*")
            for part in parts:
                total = total + part if kind == "+" else total * part
            return total
        if kind == "^":
            return self._power(self._of(tree[1], at), tree[2], at)
        if kind == "root":
            degree = self._of(tree[1], at)
            value = self._of(tree[2], at)
            return (
                _real_root(value, 1, int(degree))
                if degree == int(degree)
                else value ** (1 / degree)
            )
        if kind != "f":
            raise KeyError(kind)
        return self._function(tree[1], [self._of(part, at) for part in tree[2]], at)

    def _power(self, base: Any, exponent: Any, at: dict[str, tuple[int, int]]) -> Any:
        number = _fraction(exponent)
        if number is None:
            power = self._of(exponent, at)
            if abs(power) > HUGE:
                raise Unknown
            return base**power
        if abs(number) > HUGE:
            raise Unknown
        return _real_root(base, number.numerator, number.denominator)

    def _function(self, name: str, values: list[Any], at: dict[str, tuple[int, int]]) -> Any:
        if name.startswith("call:"):
            point = mpf(at[name][0]) / at[name][1]
            return values[0] ** 3 + point * values[0] + point
        if name in ("gcd", "lcm", "mod"):
            return mpf(_whole(name, [_integer(value) for value in values]))
        if name in ("factorial", "binomial") and abs(values[0]) > HUGE:
            raise Unknown
        return _FUNCTIONS[name](*values)


def _fraction(tree: Any) -> Fraction | None:
    """The value of a number or a product of numbers."""
    if tree[0] == "n":
        return Fraction(tree[1])
    if tree[0] != "*" or any(part[0] != "n" for part in tree[1]):
        return None
    return math.prod((Fraction(part[1]) for part in tree[1]), start=Fraction(1))


def _real_root(base: Any, top: int, bottom: int) -> Any:
    """base^(top/bottom); real for a negative base and an odd `bottom`, as taught in school."""
    if bottom % 2 and bottom > 1 and mpmath.im(base) == 0 and mpmath.re(base) < 0:
        value = (-mpmath.re(base)) ** (mpf(top) / bottom)
        return -value if top % 2 else value
    return base**top if bottom == 1 else base ** (mpf(top) / bottom)


def _integer(value: Any) -> int:
    if value != int(value.real) or abs(value) > 10**40:
        raise Unknown
    return int(value.real)


def _whole(name: str, values: list[int]) -> int:
    if name == "mod":
        return values[0] % values[1]
    return math.gcd(*values) if name == "gcd" else math.lcm(*values)


def _real(function: Any) -> Any:
    def one(*values: Any) -> Any:
        if any(mpmath.im(value) for value in values):
            raise Unknown
        return function(*(mpmath.re(value) for value in values))

    return one


_FUNCTIONS: dict[str, Any] = {
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "cot": mpmath.cot,
    "sec": mpmath.sec, "csc": mpmath.csc, "arcsin": mpmath.asin, "arccos": mpmath.acos,
    "arctan": mpmath.atan, "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh,
    "ln": mpmath.log, "log": lambda x, base=10: mpmath.log(x, base), "abs": abs,
    "max": _real(max), "min": _real(min), "floor": _real(mpmath.floor), "ceil": _real(mpmath.ceil),
    "factorial": mpmath.factorial, "binomial": mpmath.binomial,
}  # fmt: skip
