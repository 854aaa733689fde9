"""Options in the forms of real datasets, and what only looks like an option."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from vlt.datagen.sources.choices import choices_of, question_and_choices
from vlt.datagen.sources.conversations import question_parts
from vlt.datagen.sources.images_of import is_base64
from vlt.datagen.sources.row import BadRow


@pytest.mark.parametrize(
    ("written", "choices"),
    [
        ("A. cat; B. dog", ["cat", "dog"]),
        ("A. cat\nB. dog\nC. a cow, or two", ["cat", "dog", "a cow, or two"]),
        ("(A) 3 (B) 4 (C) 5", ["3", "4", "5"]),
        ("A: 40°, B: 60°", ["40°", "60°"]),
        ("A、30° B、60°", ["30°", "60°"]),
        ("（A）猫（B）狗", ["猫", "狗"]),
        ("a) 1/2 b) 3/4", ["1/2", "3/4"]),
        ("cat\ndog", ["cat", "dog"]),
        ("cat; dog", ["cat", "dog"]),
        ("cat | dog", ["cat", "dog"]),
        ('["A. cat", "B. dog"]', ["cat", "dog"]),
        (["(A) cat", "(B) dog"], ["cat", "dog"]),
        (["a. cat", "b. dog"], ["cat", "dog"]),
        (["A. cat", "dog"], ["A. cat", "dog"]),
        (["B. cat", "A. dog"], ["B. cat", "A. dog"]),
        (["(A)", "(B)"], ["(A)", "(B)"]),
        (["red", "blue", None, None], ["red", "blue"]),
        (["red", "blue", "", " "], ["red", "blue"]),
        (["red", "blue", float("nan")], ["red", "blue"]),
        ({"A": "cat", "B": "dog", "C": None}, ["cat", "dog"]),
        ({"1": "x", "2": "y", "10": "z"}, ["x", "y", "z"]),
        ({"label": ["A", "B"], "text": ["A. x", "B. y"]}, ["x", "y"]),
        ([0.5, 2], ["0.5", "2"]),
        (None, []),
        ("", []),
    ],
)
def test_choices(written: Any, choices: list[str]) -> None:
    assert choices_of(written) == choices


@pytest.mark.parametrize("written", ["cat, dog", "cat", ["cat", None], [None, "cat", "dog"], 3])
def test_no_choices(written: Any) -> None:
    with pytest.raises(BadRow):
        choices_of(written)


@pytest.mark.parametrize(
    ("text", "gold", "question", "choices"),
    [
        ("Which?\nChoices:\nA:40°\nB:60°", "B", "Which?", ["40°", "60°"]),
        ("Which?\n(A) 40°\n(B) 60°", "(A)", "Which?", ["40°", "60°"]),
        ("Which? (a) 1 (b) 2 (c) 3", "C", "Which?", ["1", "2", "3"]),
        ("Which?\nOptions: A: cat, B: dog, C: cow", "A", "Which?", ["cat", "dog", "cow"]),
        (
            "Which?\nA. cat\nB. dog\nAnswer with the letter.",
            "B",
            "Which?\nAnswer with the letter.",
            ["cat", "dog"],
        ),
        ("如图，∠A是（ ）\nA．30°\nB．60°", "A", "如图，∠A是（ ）", ["30°", "60°"]),
        # A gold that is no letter, or the letter of none, takes nothing apart.
        ("Which?\nA. cat\nB. dog", "dog", None, []),
        ("Which?\nA. cat\nB. dog", "D", None, []),
        # Letters that name what the question is about.
        ("Figures (A) and (B): which is bigger?", "A", None, []),
        ("Which is bigger, figure (A) or figure (B)?", "B", None, []),
        ("Given A: (0,0), B: (1,0) and C: (0,1), which is a right angle?", "A", None, []),
        ("Ann has A. 3 apples and Bo has B. 4 apples. Who has more?", "B", None, []),
        ("Is A. Smith in B. C.?", "A", None, []),
        ("Is the answer A or B?", "B", None, []),
    ],
)
def test_options_in_the_question(
    text: str, gold: str, question: str | None, choices: list[str]
) -> None:
    assert question_and_choices(text, gold) == (text if question is None else question, choices)


@pytest.mark.timeout(60)  # minutes, where a pattern looks at every place from every place
@pytest.mark.parametrize(
    "text",
    ["\n" * 90_000, " " * 90_000, "A. " * 30_000, "(A) " * 20_000, "<image> " * 12_000 + "x",
     "A. B. " * 15_000, ",\n" * 40_000, "choices " * 10_000],
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    question_and_choices("What?" + text + "?", "B")
    question_parts("What?" + text + "?", keep_markers=True)
    is_base64("iVBORw0KGgo" + "A" * 50 + text + "!")
    with suppress(BadRow):
        choices_of("A. " + text)
