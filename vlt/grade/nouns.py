"""Counted things: "12 red apples" has a unit too, though not one of measurement."""

from __future__ import annotations

import re
from functools import lru_cache

from vlt.grade.cjk import COUNTERS
from vlt.grade.units import Unit

_HEDGES = frozenset(
    "or and not more less than least most between to about around over under up at if but maybe "
    "either neither nor plus minus times fewer greater above below half another other million "
    "billion thousand trillion hundred dozen is are was were only exactly approximately "
    "as pi sqrt sin cos tan log ln am pm noon midnight o'clock past one two three four five six seven "
    "eight nine ten "
    # what changes the number: multiples, parts, powers
    "dozen couple pair trio score gross lakh crore myriad ten one half halve quarter third hundredth "
    "factorial factorials root mille bp squared cubed mod modulo base prime percentage permille ish odd "
    "cannot can't could can be been being will would should might must may not no never none wrong incorrect "
    "right correct false true impossible possible invalid else otherwise unless then still so "
    "because since when "
    "where which while that this these those it its they he she we you i who what why how rather instead "
    "actually wait sorry with without as given vs versus also too even only answer option "
    "oder ou und et nicht kein no non pas twice thrice double triple unless except excluding "
    "near beside like "
    "hepatitis vitamin after before over opposite maybe perhaps possibly both all any "
    "wan yi qianwan million billion trillion".split()
)
_ORDINAL = re.compile(r"(?:\w*(?:th|ths|nds|rds)|thousands?|\w+-fold|\w+fold)")
_CHANGING = re.compile(
    r"\bbasis points?\b|\bper (?:mille|thousand|hundred)\b|\bin (?:base|binary|hex)"
)
_NO_ORDINAL = frozenset("month months tooth teeth cloth cloths mouth mouths moth moths path paths bath baths "
                        "smith smiths length lengths width widths depth depths earth sloth "
                        "sloths birth births "
                        "death deaths youth youths booth booths myth myths growth strength "
                        "strengths north south "
                        "both with health wealth truth truths labyrinth plinth plinths".split())  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_FILLER = frozenset("of the a an in total altogether".split())


@lru_cache(maxsize=8192)
def noun_of(phrase: str) -> Unit | None:
    """Up to four words ("red apples") that are no unit of measurement, as a counted thing; or None."""
    if len(phrase) > 60:
        return None
    phrase = phrase.strip().rstrip(".").casefold()
    words = phrase.split()
    if not 1 <= len(words) <= 5 or not all(_WORD.fullmatch(word) for word in words):
        return None
    if any(word in _HEDGES or singular(word) in _HEDGES for word in words):
        return None
    if _CHANGING.search(phrase):
        return None
    if any(_ORDINAL.fullmatch(word) and word not in _NO_ORDINAL for word in words):
        return None
    words = [singular(word) for word in words if word not in _FILLER]
    if any(len(word) == 1 and word < "\u3040" for word in words):
        return None
    if words and words[0] in COUNTERS:
        words = words[1:]
    return frozenset((word, 0) for word in words) if words else frozenset()


_IRREGULAR = {
    "people": "person", "children": "child", "men": "man", "women": "woman", "feet": "foot",
    "teeth": "tooth", "mice": "mouse", "geese": "goose",
}  # fmt: skip


def singular(word: str) -> str:
    """A noun without its plural ending; crude, but the same for both sides of a comparison."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ses", "xes", "zes", "ches", "shes")) and len(word) > 4:
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2:
        return word[:-1]
    return word
