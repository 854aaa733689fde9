"""Prompts are filled in one pass, and images are placed where the question has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.rows import item
from vlt.errors import UsageError
from vlt.prompts import Prompt, check_slots, render


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


def test_sources_may_have_prompts_of_their_own(workspace: Path) -> None:
    """Asked, trained and exported alike; the version says so, and other prompts' versions stay."""
    from tests.rows import dataset
    from tests.scripted import Scripted, Through
    from vlt.datagen.asking import ROLLOUTS
    from vlt.datagen.rollouts import make_rollouts
    from vlt.workspace.workspace import Workspace

    asked = Prompt("Answer: {question}", by_source={"maps": Prompt("On the map: {question}")})
    engine = Scripted({"Answer: a?": ("1", "stop"), "On the map: b?": ("2", "stop")})
    with Workspace(workspace) as ws:
        rows = [item("a?", source="charts"), item("b?", source="maps")]
        items = dataset(ws, "items", "item", rows)
        asking = replace(ROLLOUTS, k=1, prompt=asked)
        made, _ = make_rollouts(ws, items, Through("m", opens=lambda: engine), asking)
        assert made.table(["response"]).column("response").to_pylist() == ["1", "2"]
        told = made.manifest.parameters["prompt"]
        assert told["by_source"] == {"maps": {"system": "", "user": "On the map: {question}"}}
        assert "by_source" not in Prompt("Answer: {question}").as_json()
        again, existed = make_rollouts(ws, items, Through("m", opens=lambda: engine), asking)
        assert existed and again.ref == made.ref and engine.asked == 2


def test_a_sources_prompt_is_checked_as_any_other() -> None:
    with pytest.raises(UsageError, match="by_source maps: the prompt has no {question}"):
        check_slots(Prompt("{question}", by_source={"maps": Prompt("Look.")}), needs="question")
    with pytest.raises(UsageError, match="prompts by source itself"):
        Prompt("{question}", by_source={"a": Prompt("x", by_source={"b": Prompt("y")})})


def test_the_command_line_says_what_a_recipe_does(tmp_path: Path) -> None:
    from vlt.cli.derived import prompt_of
    from vlt.runs.fields import PromptText

    (tmp_path / "maps.txt").write_text("On the map: {question}\n")
    default = Prompt("Answer: {question}", system="Think.")
    given = prompt_of(default, None, None, [f"maps={tmp_path / 'maps.txt'}"])
    written = PromptText(
        user="Answer: {question}",
        system="Think.",
        by_source={"maps": {"user": "On the map: {question}", "system": "Think."}},
    )
    assert given.as_json() == written.prompt().as_json()
    with pytest.raises(UsageError, match="is not SOURCE=FILE"):
        prompt_of(default, None, None, ["maps"])
