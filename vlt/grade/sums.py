"""Sums of monomials with rational coefficients: the arithmetic under `exact`."""

from __future__ import annotations

import math
from fractions import Fraction

Monomial = tuple[tuple[str, Fraction], ...]
Sum = dict[Monomial, Fraction]

MAX_TERMS = 200
MAX_POWER = 64
MAX_BITS = 20_000
MAX_FACTORIAL = 200
ONE: Sum = {(): Fraction(1)}


class Undecided(Exception):
    """Not computable here, or too large."""


def add(a: Sum, b: Sum) -> Sum:
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


def bits(n: Fraction) -> int:
    return n.numerator.bit_length() + n.denominator.bit_length()


def number_of(top: Sum, bottom: Sum) -> Fraction | None:
    """The rational value of a quotient, or None."""
    if any(top.keys() - {()}) or any(bottom.keys() - {()}) or not bottom:
        return None
    return top.get((), Fraction(0)) / bottom[()]


def written(top: Sum, bottom: Sum) -> str:
    """A canonical name for a quotient: equal sums have equal names."""

    def one(value: Sum) -> str:
        return "+".join(
            f"{number}" + "".join(f"*{name}^{power}" for name, power in atoms)
            for atoms, number in sorted(value.items())
        )

    return one(top) if bottom == ONE else f"({one(top)})/({one(bottom)})"


def number_power(number: Fraction, power: Fraction) -> Sum:
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
