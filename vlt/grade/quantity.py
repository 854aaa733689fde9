"""Numbers with their currency, scale, unit and percent sign.

`quantity_of` reads a cleaned text; `amounts` compares. A number is kept exactly (as a Fraction or a
tree), with the decimal places that it was written with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from vlt.grade.equality import rational
from vlt.grade.expression import parse
from vlt.grade.literals import SCALES, literal, number_words, plain_number
from vlt.grade.nouns import noun_of
from vlt.grade.numeric import variables
from vlt.grade.spans import no_number
from vlt.grade.tokens import Tree
from vlt.grade.units import LETTERS, Unit, unit_of

_SCALE = re.compile(
    r" ?(thousand|million|billion|trillion|hundred|qianwan|wan|yi)s?\b|(?<=\d) ?([kKMB]|[bm]n|mil)\b",
    re.I,
)
_CURRENCIES = {
    "¤": "USD", "$": "USD", "us¤": "USD", "u.s. ¤": "USD", "usd": "USD", "dollar": "USD",
    "dollars": "USD", "us dollars": "USD", "us dollar": "USD", "u.s. dollars": "USD", "bucks": "USD",
    "¤ usd": "USD", "¢": "USc", "cent": "USc", "cents": "USc", "€": "EUR", "eur": "EUR",
    "euro": "EUR", "euros": "EUR", "£": "GBP", "gbp": "GBP", "pounds sterling": "GBP",
    "pounds": "GBP", "pound": "GBP", "quid": "GBP", "pence": "GBp", "¥": "JPY CNY", "jpy": "JPY",
    "yen": "JPY", "cny": "CNY", "rmb": "CNY", "yuan": "CNY", "₹": "INR", "rs": "INR", "rs.": "INR",
    "inr": "INR", "rupee": "INR", "rupees": "INR", "₩": "KRW", "won": "KRW", "krw": "KRW",
    "₽": "RUB", "rub": "RUB", "rubles": "RUB", "chf": "CHF", "francs": "CHF", "cad": "CAD",
    "ca¤": "CAD", "c¤": "CAD", "aud": "AUD", "a¤": "AUD", "hk¤": "HKD", "₺": "TRY", "₫": "VND",
    "฿": "THB", "pesos": "MXN", "peso": "MXN", "mxn": "MXN",
}  # fmt: skip
_CURRENCY_BEFORE = re.compile(
    r"([+-]?) ?(US ?¤|U\.S\. ?¤|CA¤|C¤|A¤|HK¤|[¤€£¥₹₩₽₺₫฿]"
    r"|(?:USD|EUR|GBP|JPY|CNY|INR|RMB|CAD|AUD|CHF|Rs\.?)(?=[ \d.-]))"
    r" ?(?=[-+.\d\\])"
)
_SIGN_WORD = re.compile(r"(?:minus|negative) (?=[\d.\\a-zA-Z])", re.I)
_ABOUT = re.compile(r"(?:≈|~|∼|=|approximately|approx\.?|about|around|roughly|circa|ca\.) ?", re.I)
_FRACTION_HEAD = re.compile(
    r"-?\d+ ?/ ?\d+(?=[ A-Za-z%°]|$)|-?\d+ \d+ ?/ ?\d+"
    r"|-?(?:\d+ ?)?\\frac *(?:\{ ?-?\d+ ?\} *\{ ?-?\d+ ?\}|\d\d)"
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit and notation."""

    value: Fraction | None
    """The number, scale applied; None if it is irrational or has variables."""
    tree: Tree | None
    """The number as a tree, if it is not a literal."""
    places: int | None = None
    """Decimal places of a literal as written, counted on the scaled number; None if not a decimal."""
    power: bool = False
    """Written with a power of ten or a scale word: places are then counted on the mantissa."""
    unit: Unit | None = None
    currency: str | None = None
    about: bool = False
    """Written with "approximately"."""
    pound: bool = False
    """The unit word was "pounds": money or weight, whichever the other side has."""
    kelvin: bool = False
    """Written like 10K: thousands, unless the other side is a temperature."""

    @property
    def number(self) -> Tree:
        """The number as a tree."""
        return self.tree if self.tree is not None else ("n", self.value)


@lru_cache(maxsize=8192)
def quantity_of(text: str) -> Quantity | None:
    """The quantity that a cleaned text is, or None. Bounded by the length of the text."""
    if not text or len(text) > 400 or no_number(text):
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
    if len(text) > 2 and text[0] == "(" and text[-1] == ")" and text.count("(") == 1:
        if "," in text:
            return None  # (1,234) is a pair
        text = text[1:-1].strip()
    if len(text) > 2 and text[0] == "{" and text[-1] == "}" and text.count("{") == 1:
        text = text[1:-1].strip()
    found = _head(text, sign, currency)
    if found is None or not about:
        return found
    return Quantity(
        found.value,
        found.tree,
        found.places,
        found.power,
        found.unit,
        found.currency,
        True,
        found.pound,
    )


def _head(text: str, sign: int, currency: str | None) -> Quantity | None:
    """A literal or number word, else an expression, followed by its unit."""
    value: Fraction
    places: int | None = None
    power = False
    got = literal(text)
    if got is not None:
        value, places, power, end = got
        if text[end:] == "s" and value >= 100 and value % 10 == 0:
            return None  # the 1990s
        if places is None and not power:
            match = _FRACTION_HEAD.match(text)
            if match and match.end() > end:
                tree = parse(match.group())
                number = rational(tree) if tree else None
                if number is None:
                    return None
                value, end = number, match.end()
    else:
        words = number_words(text)
        if words is None:
            match = _FRACTION_HEAD.match(text)
            tree = parse(match.group()) if match else None
            number = rational(tree) if tree else None
            if match is None or number is None:
                return _expression(text, sign, currency)
            value, end = number, match.end()
        else:
            value, end = words
    match = _SCALE.match(text, end)
    if match and (
        match.group(1) or currency or text[end : match.end()] in ("k", "M", "B", "bn", "mn")
    ):
        exponent = SCALES[(match.group(1) or match.group(2)).lower()]
        value *= 10**exponent
        places = None if places is None and not power else (places or 0) - exponent
        power, end = True, match.end()
        if match.group(2) and text[end : end + 1] not in ("", " "):
            return None
    rest = text[end:]
    if rest == "K" and not power and value.denominator == 1 and not currency:
        return Quantity(value * sign * 1000, None, -3, True, None, None, False, False, True)
    if not rest or not rest.strip():
        return Quantity(value * sign, None, places, power, None, currency)
    around = _around(rest, currency)
    if around is None:
        return _expression(text, sign, currency)
    unit, money, pound = around
    return Quantity(value * sign, None, places, power, unit, money, False, pound)


def _around(rest: str, currency: str | None) -> tuple[Unit | None, str | None, bool] | None:
    """(unit, currency, "pounds"?) of the text after a number, or None."""
    bare = rest.strip().rstrip(".,;")
    if not bare:
        return None, currency, False
    if bare[0] == "(":
        return None  # a remark, see `commit`
    lower = bare.lower()
    if _MEASURED.sub("", lower) in _CURRENCIES:
        lower = _MEASURED.sub("", lower)
        named = _CURRENCIES[lower]
        if lower in ("pounds", "pound"):
            return unit_of("lb"), currency, currency is None
        return None if currency not in (None, named) else (None, named, False)
    money = _PER.match(lower) if not lower.startswith("pound") or currency else None
    if money and money.group(1) in _CURRENCIES and currency in (None, _CURRENCIES[money.group(1)]):
        return unit_of(bare[money.end(1) :]), _CURRENCIES[money.group(1)], False
    unit = unit_of(bare) or unit_of(_MEASURED.sub("", bare))
    if unit is not None:
        attached = not rest[0].isspace() and bare in ("t", "l", "d", "decade")
        return None if attached else (unit, currency, False)
    if rest[0].isspace():
        noun = noun_of(bare)
        if noun is not None:
            return noun or None, currency, False
    return None


# "5 years old", "3 cups of flour": a description of the thing measured
_MEASURED = re.compile(
    r"\s+(?:old|long|tall|wide|high|deep|thick|away|apart|ago|each|of age|(?:in )?total|altogether"
    r"|of [a-z]+(?: [a-z]+)?)$",
    re.I,
)
_PER = re.compile(r"([a-z. ]+?) ?(?=per\b|/ ?[a-z]|an? )")
_UNIT_TAIL = re.compile(r"(?:(?<=[\s\d})π°!])|(?<=\\pi))(?=[A-Za-zμΩÅ°%\"'])")
_ANGLE_OF = re.compile(r"(?:sin|cos|tan|cot|sec|csc)")
_FRAC_UNIT = re.compile(r" *\\frac *\{[A-Za-z ]+\}\{[A-Za-z^{}\d ]+\}$")


def _expression(text: str, sign: int, currency: str | None) -> Quantity | None:
    """An expression without the unit at its end (the longest one that parses)."""
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
            if found is not None and not (
                tail in ("in", "h", "d", "l") and not text[start - 1].isspace()
            ):
                body, unit = text[:start].rstrip(" *"), found
                break
            lower = tail.lower()
            if lower in _CURRENCIES and currency is None:
                body, currency = text[:start].rstrip(), _CURRENCIES[lower]
                break
    tree = parse(plain_number(body)) if body else None
    if unit is not None and body != text and text[len(body) :].strip() in LETTERS:
        whole = parse(plain_number(text))  # in "πr^2 h" the h is a height, not an hour
        if whole is not None and tree is not None and variables(tree):
            tree, unit = whole, None
    if tree is None:
        return None
    if sign < 0:
        tree = ("*", (("n", Fraction(-1)), tree))
    value = rational(tree)
    places = None
    return Quantity(value, None if value is not None else tree, places, False, unit, currency)
