"""The JSON schema of recipes: made from the fields, and correct."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.test_recipe_wrong import GOOD, WRONG
from vlt.runs.fields import Recipe
from vlt.runs.keys import is_part, keys_of
from vlt.runs.lines import read_lined
from vlt.runs.recipe import BUNDLED
from vlt.runs.schema import recipe_schema

VALIDATOR = Draft202012Validator(recipe_schema())
RUNS = (
    "not a model folder|does not list|is not there|no server answers at|has no NO_SUCH_URL|"
    "is not one of openai|gone.py|there is no program"
)
"""Only a run can know: files, servers, functions; the environment; what goes together."""
BLIND = (
    *("is a placeholder", "the prompt", "write {question}", "has no {question}", "no source"),
    *(
        "the module has no 'polite'",
        "missing",
        "band of pass rates",
        "add validation",
        "cut image tokens",
    ),
    *(
        "is not a model",
        "no student yet",
        "names a model twice",
        "has no mine",
        "models.base",
        "rank",
    ),
    *("strict", "select", "by_source other", "'magic'", "already"),
)


def plain(tree: Any) -> Any:
    """As JSON has it."""
    if isinstance(tree, dict):
        return {str(key): plain(value) for key, value in tree.items()}
    return [plain(value) for value in tree] if isinstance(tree, list) else tree


def errors(text: str, folder: Path) -> list[str]:
    file = folder / "recipe.yaml"
    file.write_text(text.replace("$URL", "http://127.0.0.1:8000/v1"))
    return [error.message for error in VALIDATOR.iter_errors(plain(read_lined(file)))]


def test_it_is_a_schema_and_says_what_the_fields_say() -> None:
    schema = recipe_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["name", "models", "rounds"]
    assert schema["properties"]["reasoning"]["description"].startswith("How teachers that read")
    draw = schema["$defs"]["Draws"]["properties"]
    assert draw["k"] == {**draw["k"], "description": "Samples of each row.", "default": 4}
    settings = schema["$defs"]["GrpoTraining-of-grpo"]["properties"]["settings"]["properties"]
    assert "num_generations" in settings and "learning_rate" in settings


@pytest.mark.parametrize("file", sorted(BUNDLED.glob("*.yaml")), ids=lambda f: f.stem)
def test_every_bundled_recipe_validates(file: Path) -> None:
    assert not list(VALIDATOR.iter_errors(plain(read_lined(file))))


def test_what_a_recipe_may_write_in_short_validates(tmp_path: Path) -> None:
    assert not errors(GOOD, tmp_path)
    for old, new in [
        ("base: {model: stub, base_url: $URL}", "base: stub"),
        ("teacher: reasoner", "teacher: [reasoner, {model: base, sees: image}]"),
        ("teacher: reasoner", "teacher: off"),
        ("sft:\n", "stop: on\nsft:\n"),
        ('rollout: {user: "{question}",', "direct: '{question}'\n  rollout: {user: '{question}',"),
        ("decontaminate: {against: [heldout]}", "decontaminate: off"),
        ("reasoning: {k: 2,", "reasoning: {k: '${K:-2}',"),
        ("  - verify\n", "  - ./mine.py:kind\n  - max_words: 500\n  - filter: select\n"),
        ("  - train:\n", "  - difficulty: [0.1, 0.9]\n    train:\n"),
        ("reward: {accuracy: 1.0}", "reward: {accuracy: 1.0, ./mine.py:f: 0.5, grader: paper}"),
    ]:
        assert old in GOOD
        assert not errors(GOOD.replace(old, new, 1), tmp_path), new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (old, new)
        for old, new, says in WRONG
        if not any(word in says for word in (*BLIND, *RUNS.split("|")))
    ]
    + [
        ("sft:\n", "sft:\n  lora: [8]\n"),
        ("items: [{source: ./questions.jsonl}]", "items: ./questions.jsonl"),
        ("temperature: 0.0", "temperature: hot"),
        ("rounds:\n  - teacher: reasoner\n    items: [{source: ./questions.jsonl}]", "rounds: []"),
        ("max_tokens: 8", "top_p: 1.5"),
        ("  - select: shortest", "  - repetition: {part: 0.2}"),
        ("grpo-only:", "grpo only:"),
        ("base: {model: stub, base_url: $URL}", "student: {model: stub}"),
        ("reasoning: {k: 2,", "reasoning: {k: '2 or so',"),
    ],
)
def test_a_wrong_one_does_not(tmp_path: Path, old: str, new: str) -> None:
    assert old in GOOD
    assert errors(GOOD.replace(old, new, 1), tmp_path), new


def test_every_key_says_what_it_is() -> None:
    waiting, seen = [Recipe], set[Any]()
    while waiting:
        cls = waiting.pop()
        if cls not in seen:
            seen.add(cls)
            for key in keys_of(cls):
                if key.name != "phases":
                    assert key.doc, f"{cls.__name__}.{key.name} says nothing of itself"
                    waiting += parts_in(key.type)


def parts_in(hint: Any) -> list[Any]:
    if is_part(hint):
        return [hint]
    return [part for arg in get_args(hint) for part in parts_in(arg)]


def test_the_command_prints_it() -> None:
    from tests.cli import vlt

    assert yaml.safe_load(vlt("schema"))["title"] == "A recipe of vlt"
