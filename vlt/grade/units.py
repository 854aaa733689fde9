"""Units of measurement in all their spellings. Quantities are converted only on request.

A unit is a frozenset of (symbol, power), so km/h is {("km", 1), ("h", -1)}. Words that are not a
known unit (apples, students) are their own kind of unit: {("apple", 0)}, power 0.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

Unit = frozenset[tuple[str, int]]

PERCENT: Unit = frozenset({("%", 1)})
DEGREE: Unit = frozenset({("deg", 1)})
KELVIN: Unit = frozenset({("K", 1)})
CELSIUS: Unit = frozenset({("°C", 1)})

# symbol: (dimension, size in it, spellings). Case matters where two symbols differ only by it.
_BASE: dict[str, tuple[str, Fraction, str]] = {
    "in": ("m", Fraction(254, 10000), "inch inches in in. ins \" ''"),
    "ft": ("m", Fraction(3048, 10000), "foot feet ft ft. '"),
    "yd": ("m", Fraction(9144, 10000), "yard yards yd yd. yds"),
    "mi": ("m", Fraction(1609344, 1000), "mile miles mi mi."),
    "nmi": ("m", Fraction(1852), "nmi"),
    "ly": ("ly", Fraction(1), "ly lightyear lightyears light-year light-years"),
    "AU": ("au", Fraction(1), "AU"),
    "Å": ("m", Fraction(1, 10**10), "Å angstrom angstroms"),
    "min": ("s", Fraction(60), "minute minutes min min. mins"),
    "h": ("s", Fraction(3600), "hour hours h hr hr. hrs hrs."),
    "day": ("s", Fraction(86400), "day days"),
    "week": ("s", Fraction(604800), "week weeks wk wks"),
    "month": ("month", Fraction(1), "month months"),
    "year": ("month", Fraction(12), "year years yr yr. yrs"),
    "decade": ("month", Fraction(120), "decade decades"),
    "century": ("month", Fraction(1200), "century centuries"),
    "lb": ("g", Fraction(45359237, 100000), "pound pounds lb lb. lbs lbs."),
    "oz": ("g", Fraction(28349523125, 10**9), "ounce ounces oz oz."),
    "t": ("g", Fraction(10**6), "tonne tonnes t"),
    "ton": ("ton", Fraction(1), "ton tons"),
    "gal": ("gal", Fraction(1), "gallon gallons gal gal."),
    "qt": ("gal", Fraction(1, 4), "quart quarts qt"),
    "pt": ("gal", Fraction(1, 8), "pint pints pt"),
    "cup": ("gal", Fraction(1, 16), "cup cups"),
    "floz": ("gal", Fraction(1, 128), "floz"),
    "tbsp": ("gal", Fraction(1, 256), "tablespoon tablespoons tbsp"),
    "tsp": ("gal", Fraction(1, 768), "teaspoon teaspoons tsp"),
    "acre": ("acre", Fraction(1), "acre acres"),
    "ha": ("ha", Fraction(1), "hectare hectares ha"),
    "deg": ("deg", Fraction(1), "degree degrees deg deg. degs °"),
    "rad": ("rad", Fraction(1), "radian radians rad rads"),
    "°C": ("°C", Fraction(1), "°C °c celsius centigrade degC"),
    "°F": ("°F", Fraction(1), "°F °f fahrenheit degF"),
    "K": ("K", Fraction(1), "kelvin kelvins K °K"),
    "%": ("%", Fraction(1), "% percent pct percentage"),
    "unit": ("unit", Fraction(1), "unit units"),
    "mol": ("mol", Fraction(1), "mol mols mole moles"),
    "bit": ("bit", Fraction(1), "bit bits"),
    "atm": ("atm", Fraction(1), "atm atmosphere atmospheres"),
    "mmHg": ("mmHg", Fraction(1), "mmHg"),
    "dB": ("dB", Fraction(1), "dB decibel decibels"),
    "rpm": ("rpm", Fraction(1), "rpm"),
    "knot": ("knot", Fraction(1), "knot knots kn"),
    "px": ("px", Fraction(1), "pixel pixels px"),
    "kcal": ("kcal", Fraction(1), "kcal kilocalorie kilocalories Calorie Calories"),
}  # fmt: skip
# symbol: spellings that take SI prefixes as words, size of the symbol in its dimension
_METRIC: dict[str, tuple[str, Fraction]] = {
    "m": ("meter meters metre metres", Fraction(1)),
    "g": ("gram grams gramme grammes", Fraction(1)),
    "s": ("second seconds sec secs", Fraction(1)),
    "L": ("liter liters litre litres l", Fraction(1)),
    "N": ("newton newtons", Fraction(1)),
    "J": ("joule joules", Fraction(1)),
    "W": ("watt watts", Fraction(1)),
    "V": ("volt volts", Fraction(1)),
    "A": ("ampere amperes amp amps", Fraction(1)),
    "Hz": ("hertz", Fraction(1)),
    "Pa": ("pascal pascals", Fraction(1)),
    "Ω": ("ohm ohms", Fraction(1)),
    "eV": ("electronvolt electronvolts", Fraction(1)),
    "B": ("byte bytes", Fraction(1)),
    "cal": ("calorie calories", Fraction(1)),
    "C": ("coulomb coulombs", Fraction(1)),
    "F": ("farad farads", Fraction(1)),
    "T": ("tesla teslas", Fraction(1)),
    "bar": ("bar bars", Fraction(1)),
}
_PREFIXES = {
    "": ("", Fraction(1)),
    "k": ("kilo", Fraction(1000)),
    "M": ("mega", Fraction(10**6)),
    "G": ("giga", Fraction(10**9)),
    "T": ("tera", Fraction(10**12)),
    "d": ("deci", Fraction(1, 10)),
    "c": ("centi", Fraction(1, 100)),
    "m": ("milli", Fraction(1, 1000)),
    "μ": ("micro", Fraction(1, 10**6)),
    "n": ("nano", Fraction(1, 10**9)),
    "p": ("pico", Fraction(1, 10**12)),
    "h": ("hecto", Fraction(100)),
}
_COMPOUND = {
    "mph": "mi/h", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "mps": "m/s", "cc": "cm^3",
    "kgs": "kg", "kilo": "kg", "kilos": "kg", "cms": "cm", "kms": "km", "mms": "mm", "Nm": "N m",
    "sqft": "ft^2", "sqm": "m^2", "psi": "lb/in^2", "fps": "ft/s", "gm": "g", "gms": "g", "ltr": "L",
    "mcg": "μg", "um": "μm", "kWh": "kW h", "kwh": "kW h", "Ah": "A h", "mAh": "mA h", "Wh": "W h",
}  # fmt: skip
# Symbols so short that "5s" or "2t" may be a product with a variable.
LETTERS = frozenset("m g s L N J W V A B C F T K h t d l in".split())

_EXACT: dict[str, str] = {}
_FOLDED: dict[str, str] = {}
_SIZES: dict[str, tuple[str, Fraction]] = {}


def _fill() -> None:
    for symbol, (dimension, size, names) in _BASE.items():
        _SIZES[symbol] = (dimension, size)
        for name in names.split():
            _EXACT[name] = symbol
    for base, (names, size) in _METRIC.items():
        for prefix, (word, factor) in _PREFIXES.items():
            symbol = prefix + base
            if symbol in _EXACT and prefix:
                continue  # min is a minute, pt a pint
            _SIZES.setdefault(symbol, (base, size * factor))
            _EXACT[symbol] = symbol
            for name in names.split():
                _EXACT[word + name] = symbol
            if base == "L":
                _EXACT[prefix + "l"] = symbol
    for name, symbol in _EXACT.items():
        if _FOLDED.get(name.casefold(), symbol) != symbol:
            _FOLDED[name.casefold()] = ""  # mW and MW: the case decides
        else:
            _FOLDED[name.casefold()] = symbol


_fill()

_TOKEN = re.compile(
    r"\s*(?:(per\b|a(?=\s)|an(?=\s))|([/*·])|(?:(?<![\s'\"])|\^ ?)\^?\{?(-?\d)\}?"
    r"|([A-Za-zμΩÅ°%'\"-]+\.?)|([()]))"
)
_FRAC = re.compile(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_CODE = re.compile(r"(?<![A-Za-zμ])[A-Z]\d")  # B3 is not a cubic byte
_FLUID = re.compile(r"\b(?:fluid ounces?|fl\.? oz\.?)", re.I)
_HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])")
_POWER_WORDS = {"square": 2, "sq": 2, "sq.": 2, "cubic": 3, "cu": 3, "cu.": 3}
_AFTER_WORDS = {"squared": 2, "cubed": 3}


def _symbol(word: str) -> str | None:
    if word in _COMPOUND:
        return None
    symbol = _EXACT.get(word) or (len(word) > 1 and _FOLDED.get(word.casefold()))
    if symbol:
        return symbol
    bare = word.rstrip(".")
    return (_EXACT.get(bare) or _FOLDED.get(bare.casefold()) or None) if bare != word else None


@lru_cache(maxsize=8192)
def unit_of(phrase: str) -> Unit | None:
    """The unit that a phrase spells ("km per hour", "cm^{2}", "square feet"), or None."""
    if not phrase or len(phrase) > 60:
        return None
    if _CODE.search(phrase):
        return None
    phrase = _FLUID.sub("floz", _FRAC.sub(r"\1/\2", phrase.strip()))
    if "-" in phrase and phrase not in _EXACT:
        phrase = _HYPHEN.sub(" ", phrase)  # kilowatt-hours
    if phrase[:3].lower() == "per" and phrase[3:].strip().lower() == "cent":
        return PERCENT
    phrase = _temperature(phrase)
    powers: dict[str, int] = {}
    at, sign, before, last = 0, 1, 1, ""
    while at < len(phrase):
        match = _TOKEN.match(phrase, at)
        if match is None or match.end() == at:
            return None
        at = match.end()
        per, operator, digit, word, bracket = match.groups()
        if per or operator == "/":
            if per in ("a", "an") and not powers:
                return None
            sign, last = -1, ""
        elif operator or bracket:
            last = "" if bracket != ")" else last
        elif digit:
            if not last:
                return None
            powers[last] += (int(digit) - 1) * (1 if powers[last] > 0 else -1)
        elif word in _AFTER_WORDS or word.lower() in _AFTER_WORDS:
            if not last:
                return None
            powers[last] += (_AFTER_WORDS[word.lower()] - 1) * (1 if powers[last] > 0 else -1)
        elif word.lower() in _POWER_WORDS:
            before = _POWER_WORDS[word.lower()]
        else:
            symbols = [_symbol(word)]
            if symbols[0] is None:
                compound = _COMPOUND.get(word) or _COMPOUND.get(word.lower())
                inner = unit_of(compound) if compound else None
                if inner is None or last:
                    return None
                for name, power in inner:
                    powers[name] = powers.get(name, 0) + power * sign
                last = next(iter(inner))[0] if len(inner) == 1 else ""
                continue
            last = symbols[0] or ""
            powers[last] = powers.get(last, 0) + sign * before
            before = 1
    if before != 1 or not powers:
        return None
    return frozenset((name, power) for name, power in powers.items() if power)


def _temperature(phrase: str) -> str:
    """Unify the spellings of "degrees Celsius" and "° C"."""
    match = re.fullmatch(
        r"(?:°|degrees?|deg\.?)?\s*(celsius|centigrade|fahrenheit|kelvins?|[CFcfK])\.?",
        phrase,
        re.I,
    )
    if match is None:
        return phrase
    letter = match.group(1)[0].upper()
    if len(match.group(1)) == 1 and phrase == match.group(1):
        return phrase  # a bare C or F: coulomb or celsius, see `same_unit`
    return {"C": "°C", "F": "°F", "K": "K"}[letter]


_ALSO = {"C": "°C", "F": "°F"}  # a bare letter after a number of degrees


def same_unit(got: Unit | None, gold: Unit | None) -> bool:
    """Whether two units agree; a missing one agrees with any, "units" with any of that power."""
    if not got or not gold or got == gold:
        return True
    a, b = dict(got), dict(gold)
    if "unit" in a or "unit" in b:
        return sorted(a.values()) == sorted(b.values())
    if all(power == 0 for power in (*a.values(), *b.values())):
        return a.keys() <= b.keys() or b.keys() <= a.keys()
    if len(a) == len(b) == 1:
        (x,), (y,) = a.items(), b.items()
        if _ALSO.get(x[0]) == y[0] or _ALSO.get(y[0]) == x[0]:
            return x[1] == y[1]
        return {x, y} == {("deg", 1), ("°C", 1)} or {x, y} == {("deg", 1), ("°F", 1)}
    return False


def factor(got: Unit | None, gold: Unit | None) -> Fraction | None:
    """The factor from unit `got` to unit `gold`; None if their dimensions differ."""
    if not got or not gold or any(name not in _SIZES for name, _ in (*got, *gold)):
        return None
    total = Fraction(1)
    dimensions: dict[str, int] = {}
    for unit, sign in ((got, 1), (gold, -1)):
        for name, power in unit:
            dimension, size = _SIZES[name]
            total *= size ** (power * sign)
            dimensions[dimension] = dimensions.get(dimension, 0) + power * sign
    return None if any(dimensions.values()) else total
