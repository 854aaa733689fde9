"""Prompts are filled in one pass, and images stand where the question has them."""

from __future__ import annotations

from tests.rows import item
from vlt.prompts import Prompt, render


def test_choices_are_lettered_and_braces_in_data_are_text() -> None:
    row = item("Which {caption}?", choices=["red", "{question}"], caption="a {question} b")
    (message,) = render(Prompt("{caption}\n{question}"), row, images=False)
    assert message["content"] == (
        "a {question} b\nWhich {caption}?\nChoices:\n(A) red\n(B) {question}"
    )


def test_images_come_first_unless_the_question_places_them() -> None:
    prompt = Prompt("{question}", system="Think.")
    system, user = render(prompt, item("What?", images=["a", "b"]), images=True)
    assert system == {"role": "system", "content": "Think."}
    assert [block.get("image") for block in user["content"]] == ["a", "b", None]
    (_, user) = render(prompt, item("Is <image> like <image>?", images=["a", "b"]), images=True)
    assert user["content"] == [
        {"type": "text", "text": "Is"},
        {"type": "image", "image": "a"},
        {"type": "text", "text": "like"},
        {"type": "image", "image": "b"},
        {"type": "text", "text": "?"},
    ]


def test_without_images_the_placeholder_goes() -> None:
    (message,) = render(Prompt("{question}"), item("<image>What?", images=["a"]), images=False)
    assert message["content"] == "What?"
