"""Floating-point values of trees: enough to show that two differ, never that they are equal."""

from __future__ import annotations

import cmath
import math
from fractions import Fraction
from typing import Any

from vlt.grade.sums import MAX_BITS, MAX_FACTORIAL, Undecided
from vlt.grade.tokens import Tree

_POINTS = (0.7310585786, 1.6180339887, 2.3025850930, -0.5772156649, 3.3598856662, -1.9021605831)


def approximate(tree: Tree) -> float | None:
    """A real number for a tree without variables, or None."""
    try:
        value = _evaluate(tree, {})
    except (ArithmeticError, ValueError, KeyError, Undecided, RecursionError, TypeError):
        return None
    return value.real if abs(value.imag) < 1e-12 and math.isfinite(value.real) else None


def differ(a: Tree, b: Tree) -> bool:
    """True if the values differ at some sample point; False proves nothing."""
    names = sorted(variables(a) | variables(b))
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
            return True
    return False


def variables(tree: Tree) -> set[str]:
    """The names of the variables and unknown functions in a tree."""
    found: set[str] = set()
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple) and node:
            if node[0] == "v" or (node[0] == "f" and str(node[1]).startswith("call:")):
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
        return _power(_evaluate(tree[1], at), tree[2], at)
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


def _power(base: complex, exponent: Tree, at: dict[str, complex]) -> complex:
    """base^exponent; real for a negative base and an odd root, as taught in school."""
    if base.imag == 0 and base.real < 0 and exponent[0] in "n*":
        number = rational_of(exponent)
        if number is not None and number.denominator % 2 and number.denominator > 1:
            value = (-base) ** float(number)
            return -value if number.numerator % 2 else value
    return base ** _evaluate(exponent, at)


def rational_of(tree: Tree) -> Fraction | None:
    """The value of a number or a product of numbers."""
    if tree[0] == "n":
        number: Fraction = tree[1]
        return number
    if tree[0] != "*" or any(part[0] != "n" for part in tree[1]):
        return None
    return math.prod((part[1] for part in tree[1]), start=Fraction(1))


def _factorial(n: complex) -> complex:
    if n.imag or n.real < 0 or n.real != int(n.real) or n.real > 150:
        raise Undecided
    return complex(math.factorial(int(n.real)))


def _log(x: complex, base: complex = 10) -> complex:
    return cmath.log(x) / cmath.log(base)


def _real(function: Any) -> Any:
    return lambda *values: complex(function(*(v.real for v in values)))


def _whole(function: Any, limit: int = 2**53) -> Any:
    """A function of whole numbers up to `limit`, beyond which floats are not exact."""

    def one(*values: complex) -> complex:
        if any(v != int(v.real) or abs(v) > limit for v in values):
            raise Undecided
        return complex(function(*(int(v.real) for v in values)))

    return one


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
    "binomial": _whole(math.comb, 500),
    "mod": _whole(lambda a, b: a % b),
}


def huge(tree: Tree) -> bool:
    """Whether a tree is a tower such as 9^9^9, or a factorial of millions: never a real answer."""
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


def infinite(tree: Tree) -> bool:
    """Whether infinity is part of a tree."""
    if tree == ("c", "inf"):
        return True
    parts = tree[1] if tree[0] in "+*" else tree[2] if tree[0] == "f" else tree[1:]
    return any(isinstance(part, tuple) and infinite(part) for part in parts)
