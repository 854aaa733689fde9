"""Things that are counted: "12 red apples" has a unit too, if none of measurement."""

from __future__ import annotations

import re
from functools import lru_cache

from vlt.grade.units import Unit

_HEDGES = frozenset(
    "or and not more less than least most between to about around over under up at if but maybe "
    "either neither nor plus minus times fewer greater above below half another other million "
    "billion thousand trillion hundred dozen is are was were only exactly approximately "
    "as pi sqrt sin cos tan log ln am pm noon midnight o'clock past one two three four five six seven "
    "eight nine ten".split()
)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_FILLER = frozenset("of the a an in total altogether".split())


@lru_cache(maxsize=8192)
def noun_of(phrase: str) -> Unit | None:
    """Up to four words that are no unit ("red apples") as a unit of things counted, or None."""
    if len(phrase) > 60:
        return None
    phrase = phrase.strip().rstrip(".").casefold()
    words = phrase.split()
    if not 1 <= len(words) <= 5 or not all(_WORD.fullmatch(word) for word in words):
        return None
    if any(word in _HEDGES for word in words):
        return None
    words = [singular(word) for word in words if word not in _FILLER]
    if len(words) == 1 and len(words[0]) == 1:
        return None
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
