"""The worker process: `python -m vlt.grade.worker equal|grade|math-verify MEMORY_MB`, frames over a pipe.

A frame is four bytes of length and JSON. `equal` answers {"a": tree, "b": tree} with true, false or
null, computing with sympy under a memory limit. Expressions arrive as trees and are built with
sympy's constructors, powers and factorials bounded; no text is ever parsed or evaluated here.
`grade` answers a chunk of rows with their grades (see `vlt/grade/many.py`).
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from fractions import Fraction
from typing import Any, BinaryIO

MAX_BITS = 100_000
MAX_FACTORIAL = 3000
DIGITS = 50
CPU_SECONDS = 30
"""A question that outlives its parent is ended by the kernel after this much more CPU time."""


class TooBig(Exception):
    """A number that nobody meant to be written out."""


def main() -> None:
    """Answer frames until the pipe closes."""
    role, memory = sys.argv[1], int(sys.argv[2])
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # nothing that a library prints can get between the frames
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if role == "equal":
        resource.setrlimit(resource.RLIMIT_AS, (memory << 20, memory << 20))
        import sympy  # noqa: F401  # so that "ready" means ready

        answer = _equal
    elif role == "math-verify":
        resource.setrlimit(resource.RLIMIT_AS, (3 * memory << 20, 3 * memory << 20))
        import math_verify  # noqa: F401

        answer = _math_verify
    else:
        answer = _grade
    _send(replies, "ready")
    requests = os.fdopen(0, "rb")
    while len(head := requests.read(4)) == 4:
        (size,) = struct.unpack(">I", head)
        question = json.loads(requests.read(size))
        if role == "equal":
            spent = resource.getrusage(resource.RUSAGE_SELF)
            limit = int(spent.ru_utime + spent.ru_stime) + CPU_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        _send(replies, answer(question))


def _send(replies: BinaryIO | Any, value: Any) -> None:
    data = json.dumps(value).encode()
    data = struct.pack(">I", len(data)) + data
    while data:
        data = data[replies.write(data) :]


def _grade(question: Any) -> Any:
    from vlt.grade.many import grade_chunk

    return grade_chunk(question)


def _math_verify(question: Any) -> bool | None:
    """math-verify's own verdict, without its time limit (SIGALRM); the parent has one."""
    from math_verify import parse, verify

    try:
        gold = parse(f"\\boxed{{{question['gold']}}}", parsing_timeout=None)
        predicted = parse(f"\\boxed{{{question['predicted']}}}", parsing_timeout=None)
        return bool(verify(gold, predicted, timeout_seconds=None))
    except Exception:  # it raises many kinds; a failure of one row is that row's
        return None


def _equal(question: Any) -> bool | None:
    """Whether two trees are equal: exactly, or to 50 digits at every point tried."""
    try:
        return _same(build(question["a"]), build(question["b"]))
    except (TooBig, ArithmeticError, ValueError, TypeError, RecursionError, NotImplementedError):
        return None
    except AttributeError:
        return None  # sympy, on expressions that it did not foresee


def _same(a: Any, b: Any) -> bool | None:
    import sympy

    if a == b:
        return True
    difference = a - b
    if difference == 0:
        return True
    names = sorted(difference.free_symbols, key=str)
    agreed = 0
    points = [(3, 7), (11, 5), (-13, 9), (17, 4)] if names else [(1, 1)]
    for top, bottom in points:
        at = {name: sympy.Rational(top + i, bottom + 2 * i) for i, name in enumerate(names)}
        value = difference.subs(at).evalf(DIGITS, maxn=4 * DIGITS)
        size = abs(a.subs(at).evalf(15))
        if not (value.is_number and value.is_finite and size.is_finite):
            continue
        if abs(value) > sympy.Float(10) ** -(DIGITS - 15) * (1 + size):
            return False
        agreed += 1
    return True if agreed >= min(2, len(points)) else None


def build(tree: Any) -> Any:
    """The sympy expression of a tree; raises TooBig."""
    import sympy

    kind = tree[0]
    if kind == "n":
        value = Fraction(tree[1])
        return sympy.Rational(value.numerator, value.denominator)
    if kind == "v":
        return sympy.Symbol(tree[1])
    if kind == "c":
        return {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "inf": sympy.oo}[tree[1]]
    if kind == "+":
        return sympy.Add(*(build(part) for part in tree[1]))
    if kind == "*":
        return sympy.Mul(*(build(part) for part in tree[1]))
    if kind == "^":
        return _power(build(tree[1]), build(tree[2]))
    if kind == "root":
        degree, value = build(tree[1]), build(tree[2])
        if value.is_number and value.is_negative and degree.is_odd:
            return -_power(-value, 1 / degree)
        return _power(value, 1 / degree)
    return _function(tree[1], [build(part) for part in tree[2]])


def _power(base: Any, exponent: Any) -> Any:
    import sympy

    if base.is_number and exponent.is_number:
        size = abs(exponent.evalf(15))
        bits = abs(sympy.log(abs(base) + 2, 2).evalf(15))
        if not (size.is_finite and bits.is_finite) or size * bits > MAX_BITS:
            raise TooBig
    elif exponent.is_Integer and abs(exponent) > 200:
        raise TooBig
    return sympy.Pow(base, exponent)


def _function(name: str, arguments: list[Any]) -> Any:
    import sympy

    if name == "factorial":
        n = arguments[0]
        if n.is_number and not (n.is_Integer and 0 <= n <= MAX_FACTORIAL):
            raise TooBig
        return sympy.factorial(arguments[0])
    if name == "log":
        return sympy.log(arguments[0], arguments[1] if len(arguments) > 1 else 10)
    names = {
        "arcsin": "asin", "arccos": "acos", "arctan": "atan", "ln": "log", "abs": "Abs",
        "max": "Max", "min": "Min", "ceil": "ceiling",
    }  # fmt: skip
    known = {
        "sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "sinh", "cosh", "tanh",
        "log", "Abs", "binomial", "Max", "Min", "floor", "ceiling", "gcd", "lcm",
    }  # fmt: skip
    name = names.get(name, name)
    if name in known:
        return getattr(sympy, name)(*arguments)
    return sympy.Function(name.replace(":", "_"))(*arguments)


if __name__ == "__main__":
    main()
