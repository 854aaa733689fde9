"""Parsing number literals: digits with separators, powers of ten, number words."""

from __future__ import annotations

import re
from fractions import Fraction

_LITERAL = re.compile(
    r"(?P<sign>[+-]?) ?"
    r"(?:(?P<whole>\d{1,3}(?:,\d{3})+|\d{1,3}(?:'\d{3})+|\d{1,3}(?: \d{3})+|\d+)(?![\d,](?=\d)))?"
    r"(?:(?P<point>\.)(?P<places>\d*))?"
    r"(?P<power>[eE][+-]?\d{1,4}| ?[*xX] ?10 ?(?:\^|\*\*) ?(?:\{ ?[+-]? ?\d{1,4} ?\}|[+-]?\d{1,4}))?"
)
SCALES = {
    "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12,
    "qianwan": 7, "wan": 4, "yi": 8, "k": 3, "m": 6, "mn": 6, "mil": 6, "b": 9, "bn": 9,
}  # fmt: skip
_WORDS = {
    w: i
    for i, w in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_PARTS = {"half": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "halves": 2}
_NUMBER_WORD = re.compile(r"[A-Za-z]{3,}(?:[- ][A-Za-z]+)*")


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
    value = (
        Fraction(int(digits + places or "0"), 10 ** len(places))
        if places
        else Fraction(int(digits or "0"))
    )
    count: int | None = len(places) if places else None
    if power:
        found = re.search(r"[+-]? ?\d+(?=\D*$)", power)
        exponent = int(found.group().replace(" ", "")) if found else 0
        if abs(exponent) > 1000:
            return None
        value *= Fraction(10) ** exponent
        count = (count or 0) - exponent
    return (-value if match["sign"] == "-" else value), count, bool(power), end


def number_words(text: str) -> tuple[Fraction, int] | None:
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
            total, value = total + value * 10 ** SCALES[name], 0
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


_THOUSANDS = re.compile(
    r"(?<![\d,])\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d.] )(?<!\d)[1-9]\d{0,2}(?: \d{3})+(?![\d ]*\d)"
)


def plain_number(text: str) -> str:
    """The number without thousands separators, for the parser."""
    if "," in text or " " in text:
        return _THOUSANDS.sub(lambda m: m.group().replace(",", "").replace(" ", ""), text)
    return text


def half_up(value: Fraction, places: int) -> Fraction:
    """Round half up (away from zero), as taught in school."""
    unit = Fraction(10) ** -places
    steps = abs(value) / unit
    whole = (2 * steps.numerator + steps.denominator) // (2 * steps.denominator)
    return (whole if value >= 0 else -whole) * unit
