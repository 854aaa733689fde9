"""Numbers with what stands around them: currency, scale, unit, percent.

`quantity_of` reads a cleaned text; `same_quantity` applies the conventions. A number is kept exact
(a Fraction or a tree), with the decimal places that it was written with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from vlt.grade import exact
from vlt.grade.expression import Tree, parse
from vlt.grade.units import LETTERS, PERCENT, Unit, factor, noun_of, same_unit, unit_of
from vlt.grade.verdict import Options

_LITERAL = re.compile(
    r"(?P<sign>[+-]?) ?"
    r"(?:(?P<whole>\d{1,3}(?:,\d{3})+|\d{1,3}(?:'\d{3})+|\d{1,3}(?: \d{3})+|\d+)(?![\d,](?=\d)))?"
    r"(?:(?P<point>\.)(?P<places>\d*))?"
    r"(?P<power>[eE][+-]?\d{1,4}| ?[*xX] ?10 ?(?:\^|\*\*) ?(?:\{ ?[+-]? ?\d{1,4} ?\}|[+-]?\d{1,4}))?"
)
_SCALE = re.compile(r" ?(thousand|million|billion|trillion|hundred)s?\b|(?<=\d) ?([kKMB]|[bm]n|mil)\b", re.I)
_SCALES = {
    "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12,
    "k": 3, "m": 6, "mn": 6, "mil": 6, "b": 9, "bn": 9,
}  # fmt: skip
_CURRENCIES = {
    "¤": "USD", "$": "USD", "us¤": "USD", "u.s. ¤": "USD", "usd": "USD", "dollar": "USD",
    "dollars": "USD", "us dollars": "USD", "us dollar": "USD", "u.s. dollars": "USD", "bucks": "USD",
    "¤ usd": "USD", "¢": "USc", "cent": "USc", "cents": "USc", "€": "EUR", "eur": "EUR",
    "euro": "EUR", "euros": "EUR", "£": "GBP", "gbp": "GBP", "pounds sterling": "GBP",
    "pounds": "GBP", "pound": "GBP", "quid": "GBP", "pence": "GBp", "¥": "JPY", "jpy": "JPY",
    "yen": "JPY", "cny": "CNY", "rmb": "CNY", "yuan": "CNY", "₹": "INR", "rs": "INR", "rs.": "INR",
    "inr": "INR", "rupee": "INR", "rupees": "INR", "₩": "KRW", "won": "KRW", "krw": "KRW",
    "₽": "RUB", "rub": "RUB", "rubles": "RUB", "chf": "CHF", "francs": "CHF", "cad": "CAD",
    "ca¤": "CAD", "c¤": "CAD", "aud": "AUD", "a¤": "AUD", "hk¤": "HKD", "₺": "TRY", "₫": "VND",
    "฿": "THB", "pesos": "MXN", "peso": "MXN", "mxn": "MXN",
}  # fmt: skip
_CURRENCY_BEFORE = re.compile(
    r"([+-]?) ?(US ?¤|U\.S\. ?¤|CA¤|C¤|A¤|HK¤|[¤€£¥₹₩₽₺₫฿]|(?:USD|EUR|GBP|JPY|CNY|INR|RMB|CAD|AUD|CHF|Rs\.?)(?=[ \d.-]))"
    r" ?(?=[-+.\d\\])"
)
_WORDS = {
    w: i
    for i, w in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_PARTS = {"half": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "halves": 2}
_SIGN_WORD = re.compile(r"(?:minus|negative) (?=[\d.\\a-zA-Z])", re.I)
_NUMBER_WORD = re.compile(r"[A-Za-z]{3,}(?:[- ][A-Za-z]+)*")
_ABOUT = re.compile(r"(?:≈|~|=|approximately|approx\.?|about|around|roughly|circa|ca\.) ?", re.I)
_FRACTION_HEAD = re.compile(
    r"-?\d+ ?/ ?\d+(?=[ A-Za-z%°]|$)|-?\d+ \d+ ?/ ?\d+|-?(?:\d+ ?)?\\frac *(?:\{ ?-?\d+ ?\} *\{ ?-?\d+ ?\}|\d\d)"
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its surroundings."""

    value: Fraction | None
    """The number, scale applied; None where it is irrational or has variables."""
    tree: Tree | None
    """The number as a tree, where it is no literal."""
    places: int | None = None
    """Decimal places of a literal as written, counted on the scaled number; None: no decimal."""
    power: bool = False
    """Written with a power of ten or a scale word: places then count on the mantissa."""
    unit: Unit | None = None
    currency: str | None = None
    about: bool = False
    """Written with "approximately"."""
    pound: bool = False
    """The unit word was "pounds": money or weight, as the other side has it."""

    @property
    def number(self) -> Tree:
        """The number as a tree."""
        return self.tree if self.tree is not None else ("n", self.value)


def literal(text: str) -> tuple[Fraction, int | None, bool, int] | None:
    """(value, decimal places, power of ten?, end) of the literal that `text` begins with."""
    match = _LITERAL.match(text)
    if match is None or not (match["whole"] or match["places"]):
        return None
    whole, places, power = match["whole"] or "", match["places"] or "", match["power"]
    if len(whole) + len(places) > 1000:
        return None
    end = match.end()
    digits = whole.replace(",", "").replace(" ", "").replace("'", "")
    value = Fraction(int(digits + places or "0"), 10 ** len(places)) if places else Fraction(int(digits or "0"))
    count: int | None = len(places) if places else None
    if power:
        found = re.search(r"[+-]? ?\d+(?=\D*$)", power)
        exponent = int(found.group().replace(" ", "")) if found else 0
        if abs(exponent) > 1000:
            return None
        value *= Fraction(10) ** exponent
        count = (count or 0) - exponent
    return (-value if match["sign"] == "-" else value), count, bool(power), end


def _number_words(text: str) -> tuple[Fraction, int] | None:
    """(value, end) of "twelve", "twenty-one", "one half", "three hundred": number words."""
    match = _NUMBER_WORD.match(text)
    if match is None:
        return None
    total, value, end, seen = 0, 0, 0, False
    for word in re.finditer(r"[A-Za-z]+", match.group()):
        name = word.group().lower()
        if name in _WORDS:
            n = _WORDS[name]
            if seen and not (value % 100 >= 20 and value % 10 == 0 and 1 <= n <= 9) and value % 100:
                break
            value += n
        elif name == "hundred" and seen and 0 < value < 10:
            value *= 100
        elif name in ("thousand", "million", "billion", "trillion") and seen:
            total, value = total + value * 10 ** _SCALES[name], 0
        elif name in _PARTS and seen and total == 0 and value < 20:
            return Fraction(value, _PARTS[name]), word.end()
        elif name in _PARTS and not seen and name in ("half",):
            return Fraction(1, 2), word.end()
        elif name == "a" and not seen:
            return None
        elif name == "and" and seen and value % 100 == 0 and value:
            rest = text[word.end() :].split()
            if not rest or rest[0].split("-")[0].lower() not in _WORDS:
                break
            continue
        else:
            break
        seen, end = True, word.end()
    if not seen or text[end : end + 1].isalnum():
        return None
    return Fraction(total + value), end


@lru_cache(maxsize=8192)
def quantity_of(text: str) -> Quantity | None:
    """The quantity that a cleaned text is, or None. Bounded by the length of the text."""
    if not text or len(text) > 400:
        return None
    about = False
    match = _ABOUT.match(text)
    if match:
        about, text = not match.group().startswith("="), text[match.end() :]
    sign = 1
    match = _SIGN_WORD.match(text)
    if match:
        sign, text = -1, text[match.end() :]
    currency = None
    match = _CURRENCY_BEFORE.match(text)
    if match:
        currency = _CURRENCIES[match.group(2).lower().replace(" ¤", "¤").replace("u.s.¤", "us¤")]
        text = match.group(1) + text[match.end() :]
    if len(text) > 2 and text[0] == "(" and text[-1] == ")" and "," not in text and text.count("(") == 1:
        text = text[1:-1].strip()
    if len(text) > 2 and text[0] == "{" and text[-1] == "}" and text.count("{") == 1:
        text = text[1:-1].strip()
    found = _head(text, sign, currency)
    if found is None or not about:
        return found
    return Quantity(
        found.value, found.tree, found.places, found.power, found.unit, found.currency, True, found.pound
    )


def _head(text: str, sign: int, currency: str | None) -> Quantity | None:
    """A literal or a number word and then its unit; else an expression and then its unit."""
    value: Fraction
    places: int | None = None
    power = False
    got = literal(text)
    if got is not None:
        value, places, power, end = got
        if places is None and not power:
            match = _FRACTION_HEAD.match(text)
            if match and match.end() > end:
                tree = parse(match.group())
                number = exact.rational(tree) if tree else None
                if number is None:
                    return None
                value, end = number, match.end()
    else:
        words = _number_words(text)
        if words is None:
            match = _FRACTION_HEAD.match(text)
            tree = parse(match.group()) if match else None
            number = exact.rational(tree) if tree else None
            if match is None or number is None:
                return _expression(text, sign, currency)
            value, end = number, match.end()
        else:
            value, end = words
    match = _SCALE.match(text, end)
    if match and (match.group(1) or currency):
        exponent = _SCALES[(match.group(1) or match.group(2)).lower()]
        value *= 10**exponent
        places = None if places is None and not power else (places or 0) - exponent
        power, end = True, match.end()
    rest = text[end:]
    if not rest or not rest.strip():
        return Quantity(value * sign, None, places, power, None, currency)
    around = _around(rest, currency)
    if around is None:
        return _expression(text, sign, currency)
    unit, money, pound = around
    return Quantity(value * sign, None, places, power, unit, money, False, pound)


def _around(rest: str, currency: str | None) -> tuple[Unit | None, str | None, bool] | None:
    """(unit, currency, "pounds"?) of what follows a number, or None."""
    bare = rest.strip().rstrip(".,;")
    if not bare:
        return None, currency, False
    lower = bare.lower()
    if lower in _CURRENCIES:
        money = _CURRENCIES[lower]
        if lower in ("pounds", "pound"):
            return unit_of("lb"), currency, currency is None
        if currency is not None and currency != money:
            return None
        return None, money, False
    unit = unit_of(bare)
    if unit is not None:
        attached = not rest[0].isspace() and bare in LETTERS and bare not in ("m", "g", "s", "L")
        return None if attached else (unit, currency, False)
    if rest[0].isspace() or rest[0] == "-":
        noun = noun_of(bare.lstrip("-"))
        if noun is not None:
            return noun or None, currency, False
    return None


_UNIT_TAIL = re.compile(r"(?:(?<=[\s\d})π°!])|(?<=\\pi))(?=[A-Za-zμΩÅ°%\"'])")
_ANGLE_OF = re.compile(r"(?:sin|cos|tan|cot|sec|csc)")
_FRAC_UNIT = re.compile(r" *\\frac *\{[A-Za-z ]+\}\{[A-Za-z^{}\d ]+\}$")


def _expression(text: str, sign: int, currency: str | None) -> Quantity | None:
    """An expression, with the unit that ends it taken off (the longest that is one)."""
    unit: Unit | None = None
    body = text
    match = _FRAC_UNIT.search(text)
    if match and match.start() and unit_of(match.group().strip()):
        body, unit = text[: match.start()], unit_of(match.group().strip())
    elif text[-1:].isalpha() or text[-1:] in "%}\"'°.23":
        starts = [m.start() for m in _UNIT_TAIL.finditer(text, max(1, len(text) - 60))]
        for start in starts:
            tail = text[start:].rstrip(".")
            if tail in LETTERS and not text[start - 1].isspace():
                continue
            found = unit_of(tail)
            if tail[0] == "°" and _ANGLE_OF.search(text):
                continue
            if found is not None and not (tail in ("in", "h", "d", "l") and not text[start - 1].isspace()):
                body, unit = text[:start].rstrip(" *"), found
                break
            lower = tail.lower()
            if lower in _CURRENCIES and currency is None:
                body, currency = text[:start].rstrip(), _CURRENCIES[lower]
                break
    tree = parse(plain_number(body)) if body else None
    if tree is None:
        return None
    if sign < 0:
        tree = ("*", (("n", Fraction(-1)), tree))
    value = exact.rational(tree)
    places = None
    return Quantity(value, None if value is not None else tree, places, False, unit, currency)


_PART = re.compile(r"(?:,|\band\b|,? and\b)?\s*(\d+(?:\.\d+)?) ?([A-Za-z'\"]+\.?)\s*")


@lru_cache(maxsize=8192)
def compound_of(text: str) -> tuple[Quantity, ...] | None:
    """The parts of "5 ft 3 in" or "2 hours and 30 minutes", or None for fewer than two."""
    if len(text) > 100:
        return None
    parts = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        unit = unit_of(match.group(2)) if match else None
        if match is None or unit is None:
            return None
        parts.append(Quantity(Fraction(match.group(1)), None, None, False, unit))
        at = match.end()
    return tuple(parts) if len(parts) > 1 and len({part.unit for part in parts}) > 1 else None


_THOUSANDS = re.compile(r"(?<![\d,])\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d.] )(?<!\d)[1-9]\d{0,2}(?: \d{3})+(?![\d ]*\d)")


def plain_number(text: str) -> str:
    """Without thousands separators, for the parser."""
    if "," in text or " " in text:
        return _THOUSANDS.sub(lambda m: m.group().replace(",", "").replace(" ", ""), text)
    return text


def same_quantity(
    got: Quantity,
    gold: Quantity,
    options: Options,
    *,
    percent_asked: bool = False,
    rounding: bool = True,
) -> tuple[bool | None, str]:
    """(equal?, reason); None where the symbolic tier must say."""
    got_unit, gold_unit = got.unit, gold.unit
    if got.pound and gold.currency:
        got_unit = None
        if gold.currency != "GBP":
            return False, "another currency"
    elif gold.pound and got.currency:
        gold_unit = None
        if got.currency != "GBP":
            return False, "another currency"
    elif got.currency and gold.currency and got.currency != gold.currency:
        return False, "another currency"
    if (got.currency and gold_unit and not gold.pound) or (gold.currency and got_unit and not got.pound):
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


def _percent(
    got: Quantity, gold: Quantity, got_percent: bool, asked: bool, options: Options
) -> tuple[bool | None, str]:
    """One side has a percent sign."""
    if (got.unit and not got_percent) or (gold.unit and got_percent):
        return False, "another unit"
    if (not got_percent or asked) and same_number(got, gold, options):
        return True, "percent sign is optional"
    share = Fraction(1, 100)
    if got.value is None or gold.value is None:
        return False, "a percent sign differs"
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
            if longer and _round(got.value, gold.places) == gold.value:
                return True
        if options.relative_tolerance and gold.value:
            return abs(got.value - gold.value) <= abs(gold.value) * Fraction(
                str(options.relative_tolerance)
            )
        if options.decimals_of_exact and gold.places is None and got.places and got.places >= 3:
            return gold.value.denominator != 1 and _round(gold.value, got.places) == got.value
        return False
    if rounding and gold.value is not None and gold.places is not None and gold.places > 0:
        about = exact.approximate(got.number)
        if about is not None and abs(about) < 1e15:
            return _round(Fraction(about), gold.places) == gold.value
        return False
    if got.value is not None and got.places is not None:
        about = exact.approximate(gold.number)
        if about is None:
            return False
        if options.relative_tolerance:
            return abs(float(got.value) - about) <= options.relative_tolerance * abs(about)
        if options.decimals_of_exact and got.places >= 3:
            return _round(Fraction(about), got.places) == got.value
        return False
    return exact.compare(got.number, gold.number)


def _round(value: Fraction, places: int) -> Fraction:
    """Half up (away from zero), as schools do."""
    unit = Fraction(10) ** -places
    steps = abs(value) / unit
    whole = (2 * steps.numerator + steps.denominator) // (2 * steps.denominator)
    return (whole if value >= 0 else -whole) * unit
