"""Recipes: what a round inherits, what is refused, and that the bundled ones say what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vlt.errors import UsageError
from vlt.recipe import BUNDLED, load_recipe

MINIMAL = {
    "name": "mine",
    "models": {"base": "./base", "captioner": "c", "reasoner": {"model": "r", "engine": "openai"}},
    "prompts": {
        "caption": {"user": "Describe."},
        "reasoning": {"user": "{caption} {question}"},
        "rollout": {"user": "{question}"},
    },
    "heldout": {"items": [{"source": "miniature"}]},
    "sft": {"settings": {"learning_rate": "1e-6", "num_train_epochs": 1}},
    "rounds": [
        {"teacher": "reasoner", "items": [{"source": "./data.jsonl"}]},
        {
            "teacher": "student",
            "items": [{"source": "miniature"}],
            "sft": {"settings": {"num_train_epochs": 2}},
        },
    ],
}


def written(tmp_path: Path, **changes: object) -> str:
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump({**MINIMAL, **changes}))
    return str(file)


def test_a_round_inherits_and_overrides_key_by_key(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path))
    first, second = recipe.rounds
    assert first.sft.settings == {"learning_rate": 1e-6, "num_train_epochs": 1}
    assert second.sft.settings == {"learning_rate": 1e-6, "num_train_epochs": 2}


def test_paths_beside_the_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path))
    assert recipe.models.base.model == str(tmp_path.resolve() / "base")
    assert recipe.rounds[0].items[0].source == str(tmp_path.resolve() / "data.jsonl")
    assert recipe.rounds[1].items[0].source == "miniature"


def test_set_changes_a_key(tmp_path: Path) -> None:
    recipe = load_recipe(
        written(tmp_path), {"seed": 7, "rounds.1.sft.settings.num_train_epochs": 3}
    )
    assert recipe.seed == 7
    assert recipe.rounds[1].sft.settings["num_train_epochs"] == 3
    with pytest.raises(UsageError, match=r"rounds\.9"):
        load_recipe(written(tmp_path), {"rounds.9.teacher": "student"})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"rounds": []}, "rounds"),
        ({"rounds": [{"teacher": "reasoner"}]}, r"lacks the key 'rounds\.0\.items'"),
        ({"rounds": [{"teacher": "me", "items": []}]}, "rounds.0.teacher = 'me'"),
        ({"captions": {"temprature": 1}}, r"unknown key 'rounds\.0\.captions\.temprature'"),
        ({"reasoning": {"k": 0}}, "k = 0"),
        ({"seed": "many"}, "seed = 'many'"),
        (
            {"grpo": [{"items": [{"source": "miniature"}], "difficulty": [0.2, 0.8]}]},
            "items of its own or a difficulty band, not both",
        ),
    ],
)
def test_what_is_not_right_is_named(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_recipe(written(tmp_path, **changes))


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="comes? with vlt: .*miniature"):
        load_recipe("nothing")
    for name, text in (("a.yaml", "a: [1"), ("b.yaml", "- 1"), ("c.yaml", "")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=name):
            load_recipe(str(tmp_path / name))


@pytest.mark.parametrize("file", sorted(BUNDLED.glob("*.yaml")), ids=lambda f: f.stem)
def test_bundled_recipes_load_and_have_a_plan(file: Path) -> None:
    from vlt.loop import plan

    recipe = load_recipe(file.stem)
    assert recipe.name == file.stem
    steps = plan(recipe)
    for number in range(1, len(recipe.rounds) + 1):
        names = [step.name for step in steps if step.round == number]
        for needed in (
            "items",
            "samples",
            "sft",
            "sft-model",
            "eval-sft",
            "grpo-model",
            "eval-grpo",
        ):
            assert needed in names
        assert ("captions" in names) == (recipe.rounds[number - 1].teacher == "reasoner")


def test_the_papers_numbers() -> None:
    recipe = load_recipe("openvlthinker-v1")
    sft, grpo = recipe.rounds[0].sft, recipe.rounds[0].grpo[0].train
    assert recipe.rounds[0].reasoning.k == 4
    assert sft.settings["learning_rate"] == 5e-7
    assert (
        sft.settings["per_device_train_batch_size"]
        * sft.settings["gradient_accumulation_steps"]
        * 8
        == 32
    )
    assert sft.freeze == ["vision_tower", "projector"]
    assert sft.pixels == {"max": 262144}
    s = grpo.settings
    assert s["generation_batch_size"] == 512 * s["num_generations"]
    assert s["per_device_train_batch_size"] * s["gradient_accumulation_steps"] * 8 == 128 * 5
    assert (s["beta"], s["learning_rate"], s["weight_decay"]) == (1e-2, 1e-6, 1e-2)
    assert (s["epsilon"], s["epsilon_high"], s["top_p"]) == (0.2, 0.3, 0.99)
