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


def answer(family: str, key: tuple[str, ...], cells: tuple[int, ...]) -> str:
    """The exact answer to a question of this family and key about these cells."""
    if family == "shapes-count":
        return str(count(cells, key[0]))
    if family in ("table-over", "bars-over"):
        return str(sum(cell > int(key[0]) for cell in cells))
    if family == "shapes-more":
        return "yes" if count(cells, key[0]) > count(cells, key[1]) else "no"
    if family == "shapes-difference":
        return str(abs(count(cells, key[0]) - count(cells, key[1])))
    if family == "table-sum":
        return str(sum(cells[:3] if key[0] == "top" else cells[3:]))
    if family == "bars-range":
        return str(max(cells) - min(cells))
    raise ValueError(f"unknown family {family!r}; known: {', '.join(FAMILIES)}")


def ask(family: str, cells: tuple[int, ...], rng: random.Random) -> Question:
    """A question of this family about these cells."""
    key: tuple[str, ...] = ()
    text = "How much taller is the tallest bar than the shortest bar?"
    if family == "shapes-count":
        key = (rng.choice(list(KEYS)),)
        text = f"How many {_NOUN[key[0]]} are there?"
    elif family in ("table-over", "bars-over"):
        key = (str(rng.randint(2, 7) if family == "table-over" else rng.randint(1, 5)),)
        things = "numbers are greater" if family == "table-over" else "bars are taller"
        text = f"How many {things} than {key[0]}?"
    elif family in ("shapes-more", "shapes-difference"):
        first, second = key = tuple(rng.sample(rng.choice(_PAIRS), 2))
        text = f"By how many do {_NOUN[first]} and {_NOUN[second]} differ?"
        if family == "shapes-more":
            text = f"Are there more {_NOUN[first]} than {_NOUN[second]}?"
    elif family == "table-sum":
        key = (rng.choice(("top", "bottom")),)
        text = f"What is the sum of the {key[0]} row?"
    return Question(family, text, answer(family, key, cells), key)
