"""Questions by template, with exact answers, in named families from easy to hard.

A family is one entry of `FAMILIES` and one branch of `ask`. The easy ones need one scan of the six
cells with one running number; the hard ones need two running numbers and a subtraction or a
comparison, or a running sum.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

# A key is what a cell is tested for; the numbers are the layout's (see world.py).
KEYS: dict[str, frozenset[int]] = {
    "red": frozenset({1, 2}),
    "blue": frozenset({3, 4}),
    "green": frozenset({5, 6}),
    "circle": frozenset({1, 3, 5}),
    "square": frozenset({2, 4, 6}),
}
_NOUN = {
    "red": "red objects",
    "blue": "blue objects",
    "green": "green objects",
    "circle": "circles",
    "square": "squares",
}
_PAIRS = (("red", "blue"), ("red", "green"), ("blue", "green"), ("circle", "square"))


@dataclass(frozen=True)
class Family:
    """A kind of question."""

    picture: str
    """The picture it is asked about: shapes, table or bars."""
    level: str
    """easy (one running number) or hard."""
    answer_type: str
    """integer or yes_no."""


FAMILIES: dict[str, Family] = {
    "shapes-count": Family("shapes", "easy", "integer"),
    "table-over": Family("table", "easy", "integer"),
    "bars-over": Family("bars", "easy", "integer"),
    "shapes-more": Family("shapes", "hard", "yes_no"),
    "shapes-difference": Family("shapes", "hard", "integer"),
    "table-sum": Family("table", "hard", "integer"),
    "bars-range": Family("bars", "hard", "integer"),
}


@dataclass(frozen=True)
class Question:
    """One question about one layout."""

    family: str
    text: str
    answer: str
    key: tuple[str, ...]
    """What it asks for: cell keys, a threshold, or a row. The traces are written from it."""


def count(cells: tuple[int, ...], key: str) -> int:
    """How many cells of a `shapes` layout match the key."""
    return sum(cell in KEYS[key] for cell in cells)


def ask(family: str, cells: tuple[int, ...], rng: random.Random) -> Question:
    """A question of this family about these cells."""
    if family == "shapes-count":
        key = rng.choice(list(KEYS))
        return Question(family, f"How many {_NOUN[key]} are there?", str(count(cells, key)), (key,))
    if family in ("table-over", "bars-over"):
        bound = rng.randint(2, 7) if family == "table-over" else rng.randint(1, 5)
        things = "numbers are greater" if family == "table-over" else "bars are taller"
        answer = str(sum(cell > bound for cell in cells))
        return Question(family, f"How many {things} than {bound}?", answer, (str(bound),))
    if family == "shapes-more":
        first, second = rng.sample(rng.choice(_PAIRS), 2)
        answer = "yes" if count(cells, first) > count(cells, second) else "no"
        text = f"Are there more {_NOUN[first]} than {_NOUN[second]}?"
        return Question(family, text, answer, (first, second))
    if family == "shapes-difference":
        first, second = rng.sample(rng.choice(_PAIRS), 2)
        answer = str(abs(count(cells, first) - count(cells, second)))
        text = f"By how many do {_NOUN[first]} and {_NOUN[second]} differ?"
        return Question(family, text, answer, (first, second))
    if family == "table-sum":
        row = rng.choice(("top", "bottom"))
        total = sum(cells[:3] if row == "top" else cells[3:])
        return Question(family, f"What is the sum of the {row} row?", str(total), (row,))
    if family == "bars-range":
        text = "How much taller is the tallest bar than the shortest bar?"
        return Question(family, text, str(max(cells) - min(cells)), ())
    raise ValueError(f"unknown family {family!r}; known: {', '.join(FAMILIES)}")
