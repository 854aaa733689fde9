"""`judge:` in a recipe: its steps, what is wrong with one, and a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.judges import Judges, judgement
from tests.small_recipe import write_small
from tests.test_recipe import MINIMAL
from vlt.errors import UsageError
from vlt.runs.loop import carry_out, plan
from vlt.runs.recipe import load_recipe
from vlt.workspace.judgements import combined
from vlt.workspace.workspace import Workspace

MODELS = {
    "base": "./base",
    "captioner": "c",
    "reasoner": {"model": "r", "engine": "openai"},
    "big": {"model": "big-model", "base_url": "http://127.0.0.1:9/v1"},
    "small": {"model": "small-model", "base_url": "http://127.0.0.1:9/v1"},
}


def written(folder: Path, judge: Any, **changes: Any) -> str:
    (folder / "mine.yaml").write_text("scale: [1, 3]\npass: 2\nprompt: 'Good? {response}'\n")
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump({**MINIMAL, "models": MODELS, "judge": judge, **changes}))
    return str(file)


def test_judges_stand_between_generation_and_filters(tmp_path: Path) -> None:
    judge = [
        {"rubric": "grounded", "model": ["big", "small"]},
        {"rubric": "./mine.yaml", "model": "big"},
    ]
    recipe = load_recipe(written(tmp_path, judge, filters=["verify", {"judged": "mine"}]))
    steps = {step.key: step for step in plan(recipe, rounds=1)}
    names = [name for number, name in steps if number == 1]
    assert names.index("samples") < names.index("judged-grounded") < names.index("judged-mine")
    assert steps[1, "judged-mine"].stage.inputs == ((1, "judged-grounded"),)
    assert steps[1, "sft"].stage.inputs == ((1, "judged-mine"),)
    assert steps[1, "judged-grounded"].what == (
        "grounded, by big-model and small-model: temperature 0, at most 2048 tokens"
    )
    off = load_recipe(written(tmp_path, False))
    assert not any(step.name.startswith("judged") for step in plan(off))


def test_each_teachers_samples_are_judged(tmp_path: Path) -> None:
    rounds = [
        {
            "teacher": ["reasoner", {"model": "big", "sees": "image"}],
            "items": [{"source": "miniature"}],
        }
    ]
    file = written(tmp_path, {"rubric": "sound", "model": "small"}, rounds=rounds)
    steps = {step.key: step for step in plan(load_recipe(file))}
    assert steps[1, "sft"].stage.inputs == ((1, "judged-sound-reasoner"), (1, "judged-sound-big"))


@pytest.mark.parametrize(
    ("judge", "sentence"),
    [
        ({"rubric": "nope", "model": "big"}, "no rubric 'nope'"),
        (
            {"rubric": "sound", "model": "bog"},
            "'bog' is not a model; choose base, captioner, reasoner, big",
        ),
        ({"rubric": "sound", "model": ["big", "big"]}, "names no model, or the same one twice"),
        ({"rubric": "sound"}, "the key 'rounds.0.judge.0.model' is missing"),
        ({"rubric": "sound", "model": "big", "k": 3}, "at temperature 0 are all the same"),
        ({"rubric": "sound", "model": "big", "modle": 1}, "modle"),
        ([{"rubric": "sound", "model": "big"}] * 2, "is given twice"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_spent(
    tmp_path: Path, judge: Any, sentence: str
) -> None:
    with pytest.raises(UsageError) as error:
        load_recipe(written(tmp_path, judge))
    assert sentence in str(error.value)


@pytest.mark.slow
def test_a_run_judges_filters_and_goes_on(tmp_path: Path) -> None:
    def says(text: str) -> Any:
        return judgement(2 if "Quick" in text else 5)

    with Judges(says) as server:
        file = write_small(
            tmp_path / "small.yaml",
            judge={"rubric": "sound", "model": "critic"},
            filters=["verify", {"judged": "sound"}],
            heldout=None,
            canary=False,
        )
        tree = yaml.safe_load(file.read_text())
        tree["models"]["critic"] = {"model": "critic", "base_url": server.url}
        for settings in tree["rounds"]:
            settings.pop("filters", None)
        file.write_text(yaml.safe_dump(tree))
        recipe = load_recipe(str(file))
        steps = plan(recipe, rounds=1, until="sft")
        made = carry_out(Workspace(tmp_path / "w"), recipe, steps).made
        samples, judged, sft = (made[1, name] for name in ("samples", "judged-sound", "sft"))
        assert (
            judged.manifest.rows
            == samples.manifest.rows
            == judged.manifest.facts["judged"]["judgements"]
        )
        assert judged.manifest.round == 1
        for row in sft.rows():
            assert combined(row["judgements"], "sound").verdict == "pass"  # type: ignore[union-attr]
        asked = server.answered.total()
        again = carry_out(Workspace(tmp_path / "w"), recipe, steps).made
        assert again[1, "sft"].ref == sft.ref and server.answered.total() == asked
