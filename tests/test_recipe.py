"""Recipes: what a round inherits, what is refused, and that the bundled ones have a description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vlt.errors import UsageError
from vlt.runs.recipe import BUNDLED, load_recipe

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
        ({"rounds": [{"teacher": "reasoner"}]}, r"the key 'rounds\.0\.items' is missing"),
        ({"rounds": [{"teacher": "me", "items": []}]}, "rounds.0.teacher = 'me'"),
        ({"captions": {"temprature": 1}}, r"unknown key 'rounds\.0\.captions\.temprature'"),
        ({"reasoning": {"k": 0}}, "k = 0"),
        ({"seed": "many"}, "seed = 'many'"),
        ({"grpo": [{"rates": "rollouts"}]}, "rates are for a difficulty band"),
        (
            {"grpo": [{"items": [{"source": "a"}], "difficulty": [0, 1], "rates": "samples"}]},
            "rates: samples exist only for the round's items",
        ),
        ({"grpo": [{"difficulty": [0, 1], "rates": "previous"}]}, "no previous round"),
        ({"sft": {"choose": {"every": 5}}}, "add validation"),
        ({"rounds": [{"teacher": "student", "items": []}]}, "round 1 has no student yet"),
        ({"stop": {"gain": 1}}, r"unknown key 'stop\.gain'"),
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
    from vlt.runs.loop import plan

    recipe = load_recipe(file.stem)
    assert recipe.name == file.stem
    steps = plan(recipe)
    for number, settings in enumerate(recipe.rounds, 1):
        names = [step.name for step in steps if step.round == number]
        needed = ["items"]
        needed += ["samples", "sft"] if settings.teacher else []
        needed += ["sft-model", "eval-sft"] if settings.sft else []
        needed += ["grpo-model", "eval-grpo"] if settings.grpo else []
        assert set(needed) <= set(names)
        reads = [teacher.model for teacher in settings.teacher] == ["reasoner"]
        assert ("captions" in names) == reads
    assert any(settings.grpo for settings in recipe.rounds)
    assert "sft-only" in recipe.arms


@pytest.mark.parametrize("file", sorted(BUNDLED.glob("*.yaml")), ids=lambda f: f.stem)
def test_bundled_recipes_are_whole_and_so_are_their_arms(file: Path) -> None:
    """As `vlt run NAME --arms --dry-run` checks them, on a machine without servers or the Hub."""
    from vlt.runs.arms import variants

    found = variants(file.stem, to_run=True)
    assert [variant.arm for variant in found] == ["loop", *load_recipe(file.stem).arms]
    assert all(variant.steps for variant in found)


def steps_of(recipe: str, number: int, changes: dict[str, object] | None = None) -> list[str]:
    from vlt.runs.loop import plan

    return [s.name for s in plan(load_recipe(recipe, changes)) if s.round == number]


def test_training_items_are_kept_apart_from_the_held_out_ones_unless_told(tmp_path: Path) -> None:
    recipe = written(tmp_path)
    assert steps_of(recipe, 1)[:2] == ["items-all", "items"]
    assert steps_of(recipe, 1, {"decontaminate": False})[0] == "items"
    assert "mathvista" in steps_of("openvlthinker-v1", 0)
    assert "grpo-items-all" in steps_of("openvlthinker-v1", 1)
    path = {"against": ["heldout", {"source": "mathvista", "settings": {"path": "/mine"}}]}
    assert steps_of(recipe, 0, {"decontaminate": path}) == ["heldout", "mathvista", "eval-base"]


def test_stop_and_decontaminate_may_be_switched(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path)).stop is None
    on = load_recipe(written(tmp_path, stop=True)).stop
    assert on and on.min_gain == 0 and on.significant
    assert load_recipe(written(tmp_path, stop=on.model_dump()), {"stop": False}).stop is None


def test_a_split_by_difficulty_of_ones_own_rollouts() -> None:
    """v1.2's two phases on upstream's splits, or on splits by the pass rates of new rollouts."""
    published = load_recipe("openvlthinker-v1.2")
    medium, hard = published.rounds[0].grpo
    assert (medium.items[0].source, hard.items[0].source) == ("grpo-medium", "grpo-hard")
    assert medium.train.freeze == ["vision_tower", "projector"] and hard.train.freeze == []
    pool = [{"source": s, "split": "train"} for s in ("grpo-medium", "grpo-hard")]
    own = {
        "grpo.0.items": pool,
        "grpo.0.difficulty": [0.25, 0.75],
        "grpo.1.items": pool,
        "grpo.1.difficulty": [0.0, 0.25],
    }
    recipe = load_recipe("openvlthinker-v1.2", own)
    assert [phase.rated_by for phase in recipe.rounds[2].grpo] == ["rollouts", "rollouts"]
    names = steps_of("openvlthinker-v1.2", 1, own)
    for name in ("grpo-samples-1", "grpo-rated-1", "grpo-samples-2", "grpo-rated-2"):
        assert name in names


def test_a_band_by_the_round_befores_pass_rates(tmp_path: Path) -> None:
    from vlt.runs.loop import plan

    rounds = [
        MINIMAL["rounds"][0],
        {
            **MINIMAL["rounds"][1],
            "grpo": [  # type: ignore[index]
                {"difficulty": [0.25, 0.75], "rates": "previous"}
            ],
        },
    ]
    recipe = load_recipe(written(tmp_path, rounds=rounds))
    (step,) = (s for s in plan(recipe) if s.key == (2, "grpo-model"))
    assert step.what.endswith("pass rate 0.25-0.75 of the previous round's samples")


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


def names_of(recipe: str, number: int, **changes: object) -> list[str]:
    from vlt.runs.loop import plan

    steps = plan(load_recipe(recipe, {k.replace("__", "."): v for k, v in changes.items()}))
    return [step.name for step in steps if step.round == number]


def small(tmp_path: Path, **changes: object) -> str:
    """A recipe of one round, without what is None in `changes`."""
    tree = {
        "name": "mine",
        "models": {"base": "b", "captioner": "c", "reasoner": "r"},
        "heldout": {"items": [{"source": "miniature"}]},
        "rounds": [{"teacher": "reasoner", "items": [{"source": "miniature"}]}],
        "sft": {},
        "grpo": [{}],
        **changes,
    }
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump({k: v for k, v in tree.items() if v is not None}))
    return str(file)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, "items-all items captions samples sft sft-model eval-sft grpo-model eval-grpo"),
        ({"grpo": None}, "items-all items captions samples sft sft-model eval-sft"),
        ({"sft": None}, "items-all items captions samples sft grpo-model eval-grpo"),
        ({"sft": None, "grpo": False}, "items-all items captions samples sft"),
        ({"heldout": None}, "items captions samples sft sft-model grpo-model"),
        (
            {"rounds": [{"items": [{"source": "miniature"}]}], "sft": None},
            "items-all items grpo-model eval-grpo",
        ),
        (
            {"rounds": [{"teacher": "base", "items": [{"source": "miniature"}]}]},
            "items-all items samples sft sft-model eval-sft grpo-model eval-grpo",
        ),
        (
            {
                "models": {"base": "b", "captioner": "c", "reasoner": "r", "big": "v"},
                "rounds": [{"teacher": ["reasoner", "big"], "items": [{"source": "miniature"}]}],
                "grpo": None,
            },
            "items-all items captions samples-reasoner samples-big sft sft-model eval-sft",
        ),
        (
            {
                "models": {"base": "b", "reasoner": "r"},
                "rounds": [
                    {
                        "teacher": "reasoner",
                        "items": [{"source": "mine.jsonl", "kind": "captions"}],
                    }
                ],
                "grpo": None,
            },
            "items-all items samples sft sft-model eval-sft",
        ),
    ],
)
def test_any_part_may_be_left_out(tmp_path: Path, changes: dict[str, object], steps: str) -> None:
    assert names_of(small(tmp_path, **changes), 1) == steps.split()


def test_where_a_round_without_sft_goes_on(tmp_path: Path) -> None:
    from vlt.runs.loop import plan

    rounds = [{"items": [{"source": "miniature"}]}] * 2
    recipe = load_recipe(small(tmp_path, rounds=rounds, sft=None))
    first, second = (s for s in plan(recipe) if s.name == "grpo-model")
    assert first.what == "from the base, b" and second.what == "from round 1's grpo-model"
    recipe = load_recipe(small(tmp_path, grpo=None))
    (step,) = (s for s in plan(recipe) if s.name == "sft-model")
    assert step.what == "from the base, b"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"models": {"base": "b", "reasoner": "r"}}, "reads captions, but nothing writes them"),
        ({"models": {"base": "b"}}, "'reasoner' is not a model; choose base, student"),
        (
            {"rounds": [{"items": [{"source": "miniature"}]}]},
            "round 1 has sft but no teacher, so there are no samples to train on",
        ),
        (
            {
                "rounds": [{"items": [{"source": "miniature"}]}],
                "sft": None,
                "grpo": [{"difficulty": [0, 1]}],
            },
            "has no teacher to draw them; write rates: rollouts",
        ),
        ({"heldout": None, "stop": True}, "stop needs held-out items"),
        ({"filters": ["verfy"]}, r"rounds\.0\.filters\.0: no filter is called 'verfy'"),
        ({"filters": [{"max_words": {"wrods": 3}}]}, "max_words has no setting 'wrods'"),
        ({"sft": {"settings": {"lerning_rate": 1}}}, "has no field 'lerning_rate'; did you mean"),
        ({"grpo": [{"train": {"reward": {"acuracy": 1}}}]}, "reward: 'acuracy' is unknown"),
        ({"prompts": {"rollout": {"user": "Answer {Question}"}}}, "write {question}"),
        ({"prompts": {"rollout": {"user": "Answer."}}}, "has no {question}"),
        ({"filters": ["./gone.py:f"]}, "gone.py"),
    ],
)
def test_what_would_fail_later_is_named_before(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        load_recipe(small(tmp_path, **changes))


def test_every_fault_at_once_each_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(
        """\
name: mine
seed: many
models: {base: ./gone, captioner: {model: c, engine: vllm}, reasoner: {model: r, engine: vllm}}
colour: red
filters:
  - verfy
  - max_words: {wrods: 3}
sft:
  settings:
    lerning_rate: 1e-6
    max_length: 100
rounds:
  - teacher: reasoner
    items: [{source: ./nowhere.jsonl}]
    captions: {temprature: 1}
"""
    )
    with pytest.raises(UsageError) as raised:
        load_recipe(str(file), to_run=True)
    lines = str(raised.value).splitlines()
    assert lines[0].endswith("has 9 faults")
    found = [line.split()[1].rstrip(":") for line in lines[1:]]
    assert found == ["2", "3", "4", "6", "7", "10", "11", "14", "15"], str(raised.value)


def arms_of(tmp_path: Path, *wanted: str, seeds: int = 1) -> dict[str, list[str]]:
    from vlt.runs.arms import variants

    arms = {
        "grpo-only": {"each_round": {"teacher": False, "sft": False}},
        "longer": {"each_round": {"sft": {"settings": {"num_train_epochs": 5}}}},
        "same": {},
    }
    found = variants(small(tmp_path, arms=arms), arms=wanted or None, seeds=seeds)
    return {v.label: [step.dataset for step in v.steps if step.variant] for v in found}


def test_arms_share_what_says_the_same(tmp_path: Path) -> None:
    named = arms_of(tmp_path)
    assert named["loop, seed 0"] == [] and named["same, seed 0"] == []
    assert named["grpo-only, seed 0"] == ["grpo-model.grpo-only", "eval-grpo.grpo-only"]
    assert named["longer, seed 0"] == [
        f"{name}.longer" for name in ("sft-model", "eval-sft", "grpo-model", "eval-grpo")
    ]
    assert arms_of(tmp_path, "longer")["longer, seed 0"] == named["longer, seed 0"]


def test_seeds_are_variants_too(tmp_path: Path) -> None:
    named = arms_of(tmp_path, "loop", "grpo-only", seeds=2)
    assert "captions.s1" in named["loop, seed 1"] and "items.s1" not in named["loop, seed 1"]
    assert "grpo-model.grpo-only.s1" in named["grpo-only, seed 1"]
    assert "eval-base.s1" in named["grpo-only, seed 1"], "the one that the loop made with that seed"


def test_an_arm_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no arm 'rl'; its arms are loop, grpo-only, longer, same"):
        arms_of(tmp_path, "rl")
    with pytest.raises(UsageError, match="unknown key 'rounds.0.sfft'"):
        from vlt.runs.arms import variants

        variants(small(tmp_path, arms={"bad": {"each_round": {"sfft": {}}}}))


def test_pixels_that_the_model_cannot_keep_are_faults(tmp_path: Path) -> None:
    """Before anything is asked, of the models and of every training."""
    from tests.tiny import tiny_vlm

    model = str(tiny_vlm(tmp_path / "vlm"))
    changes: dict[str, Any] = {
        "models.base.model": model,
        "models.base.pixels": "784:50176/32",
        "rounds.0.sft.pixels": {"max": 500},
    }
    with pytest.raises(UsageError, match="multiples of 28") as refused:
        load_recipe("miniature", changes, to_run=True)
    assert "models.base.pixels" in str(refused.value)
    assert "rounds.0.sft.pixels" in str(refused.value)
    changes["models.base.pixels"] = "784:50176"
    changes["rounds.0.sft.pixels"] = {"max": 40000}
    load_recipe("miniature", changes, to_run=True)
