"""JSON with exact numbers: integers of any length, decimals that a float cannot represent."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson

MAX_DIGITS = 4_000
"""Maximum digits of an integer; Python refuses to parse longer ones, which stay text."""
SURE_DIGITS = 15
"""Digits of a decimal that survive conversion to a float and back."""
_WHOLE = 2.0**53


def loads(line: bytes) -> Any:
    """The value of one JSON text; raises ValueError or RecursionError if it is not valid."""
    try:
        value = orjson.loads(line)
    except ValueError:
        return DECODER.decode(line.decode())  # accepts the NaN that Python writes
    if _may_be_rounded(value):
        return DECODER.decode(line.decode())
    return value


def _may_be_rounded(value: Any) -> bool:
    """Whether it has a float that may be a rounded number with more digits."""
    if type(value) is float:
        return not -_WHOLE < value < _WHOLE or len(repr(value)) > SURE_DIGITS
    if type(value) is dict:
        return any(map(_may_be_rounded, value.values()))
    if type(value) is list:
        return any(map(_may_be_rounded, value))
    return False


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text


def _decimal(text: str) -> float | Decimal:
    value = float(text)
    if len(text) <= SURE_DIGITS:
        return value
    exact = Decimal(text)
    return value if exact == Decimal(repr(value)) else exact


DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_decimal)
"""Parses whole documents, and lines whose numbers a fast parser would round."""
