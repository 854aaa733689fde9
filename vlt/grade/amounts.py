"""Compare two quantities: numbers exact or rounded, units, currencies, percent signs."""

from __future__ import annotations

import math
from fractions import Fraction

from vlt.grade.equality import compare
from vlt.grade.literals import half_up
from vlt.grade.numeric import approximate
from vlt.grade.quantity import Quantity
from vlt.grade.units import CELSIUS, DEGREE, KELVIN, PERCENT, factor, same_unit
from vlt.grade.verdict import Options


def same_quantity(
    got: Quantity,
    gold: Quantity,
    options: Options,
    *,
    percent_asked: bool = False,
    rounding: bool = True,
) -> tuple[bool | None, str]:
    """(equal?, reason); None if the symbolic tier has to decide."""
    if got.kelvin != gold.kelvin:
        got, gold = _temperatures(got, gold)
    got_unit, gold_unit = got.unit, gold.unit
    if got.pound and gold.currency:
        got_unit = None
        if gold.currency != "GBP":
            return False, "another currency"
    elif gold.pound and got.currency:
        gold_unit = None
        if got.currency != "GBP":
            return False, "another currency"
    elif (
        got.currency
        and gold.currency
        and not (
            got.currency in gold.currency or gold.currency in got.currency  # ¥ is JPY or CNY
        )
    ):
        return False, "another currency"
    if (got.currency and not gold.currency and gold_unit and not gold.pound) or (
        gold.currency and not got.currency and got_unit and not got.pound
    ):
        return False, "another unit"
    if got.about and gold.places is None and not options.relative_tolerance:
        return False, "not exact"
    got_percent, gold_percent = got_unit == PERCENT, gold_unit == PERCENT
    if got_percent != gold_percent:
        return _percent(got, gold, got_percent, percent_asked, options)
    if not same_unit(got_unit, gold_unit):
        if options.convert_units:
            by = factor(got_unit, gold_unit)
            if by is not None and got.value is not None:
                scaled = Quantity(got.value * by, None)
                return same_number(scaled, gold, options), "unit converted"
        return False, "another unit"
    return same_number(got, gold, options, rounding=rounding), "same number"


def _temperatures(got: Quantity, gold: Quantity) -> tuple[Quantity, Quantity]:
    """If one side is written like 10K and the other is a temperature, read both as temperatures."""
    kelvin, other = (got, gold) if got.kelvin else (gold, got)
    if other.unit not in (KELVIN, CELSIUS) or kelvin.value is None:
        return got, gold
    read = Quantity(kelvin.value / 1000, None, None, False, KELVIN)
    return (read, gold) if got.kelvin else (got, read)


def _percent(
    got: Quantity, gold: Quantity, got_percent: bool, asked: bool, options: Options
) -> tuple[bool | None, str]:
    """One side has a percent sign."""
    if options.percent == "sign":
        return False, "a percent sign differs"
    if (got.unit and not got_percent) or (gold.unit and got_percent):
        return False, "another unit"
    if (not got_percent or asked) and same_number(got, gold, options):
        return True, "percent sign is optional"
    if options.percent == "loose" and same_number(got, gold, options):
        return True, "percent as the same number"
    share = Fraction(1, 100)
    if got.value is None or gold.value is None:
        return False, "a percent sign differs"
    if options.percent == "loose":
        shares = [x.value * share if x.unit == PERCENT else x.value for x in (got, gold) if x.value]
        return len(set(shares)) < 2, "percent as a share"
    if got_percent:
        return got.value * share == gold.value and not asked, "a percent sign differs"
    return got.value == gold.value * share and not asked, "a percent sign differs"


def same_number(
    got: Quantity, gold: Quantity, options: Options, *, rounding: bool = True
) -> bool | None:
    """Numbers alone: exact, or rounded half up to the places that gold was written with."""
    if got.value is not None and gold.value is not None:
        if got.value == gold.value:
            return True
        if rounding and gold.places is not None and (gold.places > 0 or (gold.power and got.power)):
            longer = got.places is None or got.places > gold.places
            if longer and half_up(got.value, gold.places) == gold.value:
                return True
        if options.relative_tolerance and gold.value:
            return abs(got.value - gold.value) <= abs(gold.value) * Fraction(
                str(options.relative_tolerance)
            )
        if options.decimals_of_exact and gold.places is None and got.places and got.places >= 3:
            return gold.value.denominator != 1 and half_up(gold.value, got.places) == got.value
        return False
    if rounding and gold.value is not None and gold.places is not None and gold.places > 0:
        about = approximate(got.number)
        if about is not None and abs(about) * 10**gold.places < 1e13:
            return half_up(Fraction(about), gold.places) == gold.value
        return False
    if got.value is not None:
        about = approximate(gold.number)
        if about is not None and abs(about) < 1e15:
            if options.relative_tolerance:
                return abs(float(got.value) - about) <= options.relative_tolerance * abs(about)
            if options.decimals_of_exact and got.places is not None and got.places >= 3:
                return half_up(Fraction(about), got.places) == got.value
    return compare(got.number, gold.number)


def rounds_to(exact: Quantity, decimal: Quantity) -> bool:
    """Whether a decimal of two or more places is what an exact number rounds to (8.66 for 5√3)."""
    if decimal.value is None or decimal.places is None or decimal.places < 1:
        return False
    value = exact.value
    if value is None:
        about = approximate(exact.number)
        if about is None or abs(about) * 10**decimal.places > 1e13:
            return False
        value = Fraction(about)
    scale = Fraction(1)
    if decimal.unit == DEGREE and exact.unit is None:
        scale = (
            Fraction(180 / math.pi) if half_up(value, decimal.places) != decimal.value else scale
        )
    if decimal.unit == PERCENT and exact.unit is None:
        scale = Fraction(100)
    cut = abs(value * scale) * 10**decimal.places
    return half_up(value * scale, decimal.places) == decimal.value or (
        int(cut) == abs(decimal.value) * 10**decimal.places and decimal.places >= 3
    )
