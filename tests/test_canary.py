"""The canary: models that look, models that do not, and when it cannot be decided."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli import vlt_error
from tests.rows import dataset, item
from tests.scripted import Answering, Through, images_of, words_of
from tests.small_recipe import write_small
from tests.tiny import png
from vlt.datagen.asking import Asking
from vlt.errors import UsageError, UserError
from vlt.evaluation.canary import Canary, judged
from vlt.evaluation.compare import compared
from vlt.evaluation.image_worth import ImageWorth, one_sided
from vlt.prompts import Prompt
from vlt.runs.canary import CanaryItems, Look
from vlt.runs.loop import plan
from vlt.runs.recipe import BUNDLED, load_recipe
from vlt.runs.stages import Evaluate
from vlt.runs.step import Run, Step
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace


def worth(own: list[bool], other: list[bool], guess: float = 0.25) -> ImageWorth:
    first, second = ({str(i): float(r) for i, r in enumerate(rates)} for rates in (other, own))
    c = compared(first, second)
    return ImageWorth(
        "swapped",
        c.second,
        c.first,
        c.difference,
        c.low,
        c.high,
        c.solved,
        c.lost,
        c.n,
        one_sided(c.solved, c.lost),
        guess,
    )


def tossed(p: float, n: int, seed: int) -> list[bool]:
    rng = random.Random(seed)
    return [rng.random() < p for _ in range(n)]


def finding(own: float, other: float, n: int = 200, seed: int = 0, **more: Any) -> str:
    found = worth(tossed(own, n, 2 * seed), tossed(other, n, 2 * seed + 1))
    return judged(found, Canary(), **more).finding


def test_a_model_that_looks_goes_on() -> None:
    for seed in range(20):
        assert finding(0.7, 0.3, seed=seed) == "looks"


def test_a_model_that_answers_as_well_without_looking_is_stopped() -> None:
    """It is far better than a guess, but no better with the own images: it answers from the text."""
    same = tossed(0.7, 200, 1)
    said = judged(worth(same, same), Canary(), who="round 1's sft-model")
    assert said.finding == "does not look"
    assert said.sentence.startswith(
        "round 1's sft-model answers no better with its own images than with another item's image"
    )
    assert "level 0.05" in said.sentence and "\n" not in said.sentence
    stopped = [finding(0.7, 0.7, seed=seed) for seed in range(40)]
    assert stopped.count("does not look") >= 30 and stopped.count("looks") <= 4


def test_a_model_that_has_unlearnt_to_look_is_stopped() -> None:
    """Its accuracy is that of a guess; what images were worth to the model before it decides."""
    assert finding(0.25, 0.25) == "cannot tell"
    told = [finding(0.25, 0.25, seed=seed, seen=0.2) for seed in range(40)]
    assert told.count("does not look") >= 30


@pytest.mark.parametrize(
    ("own", "other", "n"),
    [(0.25, 0.22, 200), (0.6, 0.55, 8), (1.0, 1.0, 3), (0.3, 0.3, 1), (0.0, 0.0, 200)],
)
def test_too_low_or_too_few_stops_nobody(own: float, other: float, n: int) -> None:
    for seed in range(10):
        found = worth(tossed(own, n, seed), tossed(other, n, seed + 100))
        said = judged(found, Canary())
        assert said.finding == "cannot tell" or found.p <= 0.05
        if said.finding == "cannot tell":
            assert "cannot tell" in said.sentence


def test_a_model_that_looks_a_little_is_hardly_ever_stopped() -> None:
    """A worth of ten points on 200 items is rarely significant, but not ruled out either."""
    told = [finding(0.40, 0.30, seed=seed) for seed in range(60)]
    assert told.count("does not look") <= 2


def test_no_item_with_an_image() -> None:
    said = judged(worth([], []), Canary())
    assert said.finding == "cannot tell" and "none of the canary's items" in said.sentence


def test_settings() -> None:
    with pytest.raises(UsageError, match="level = 0.7"):
        Canary(level=0.7)
    with pytest.raises(UsageError, match="list what is shown"):
        Canary(images=())
    with pytest.raises(UsageError, match="list what is shown"):
        Canary(images=("none", "none"))


def steps(file: Path, **changes: Any) -> list[str]:
    recipe = load_recipe(str(file), changes)
    return [f"{s.name}@{s.round}" for s in plan(recipe) if s.name.startswith("canary")]


def test_the_steps_of_a_recipe(tmp_path: Path) -> None:
    bundled = load_recipe("miniature")
    assert bundled.canary == Canary()
    assert [s.name for s in plan(bundled)].count("canary-sft") == 2
    file = write_small(tmp_path / "small.yaml", canary=False)
    assert steps(file) == []
    assert steps(file, canary=True) == [
        "canary@0",
        "canary-base@0",
        *(f"canary-{what}@{n}" for n in (1, 2) for what in ("sft", "grpo")),
    ]
    two = steps(file, **{"canary": {"images": ["swapped", "none"], "items": 8}})
    assert "canary-sft@1" in two and "canary-sft-none@1" in two
    (last,) = (
        s for s in plan(load_recipe(str(file), {"canary": True})) if s.key == (2, "canary-grpo")
    )
    assert [look for _, look in last.stage.before] == [  # type: ignore[attr-defined]
        (0, "canary-base"),
        (1, "canary-sft"),
        (1, "canary-grpo"),
        (2, "canary-sft"),
    ]
    with pytest.raises(UsageError, match="captions take no shuffle_choices"):
        load_recipe(str(file), {"captions": {"shuffle_choices": True}})
    with pytest.raises(UsageError, match="canary needs held-out items"):
        load_recipe(str(file), {"canary": True, "heldout": None})


def test_a_run_is_stopped_in_one_sentence(workspace: Path) -> None:
    """By the step itself: a model that reads only the text stops the run, one that looks is reported."""
    told: list[str] = []
    with Workspace(workspace, notice=told.append) as opened:
        rows = []
        for i in range(60):
            sha = opened.images.add(png((4 * i, 0, 255 - 4 * i)))
            rows.append(item(f"{i} dots. How many?", str(i), images=[sha]))
        opened.images.flush()
        heldout = dataset(opened, "heldout", "item", rows)
        by_image = {row["images"][0]: row["answer"] for row in rows}
        recipe = load_recipe("miniature")

        def run_of(says: Any, name: str) -> Dataset:
            model = Through(name, opens=lambda: Answering(says))
            asking = Asking(prompt=Prompt("{question}"))
            run = Run(opened, recipe, {(0, "heldout"): heldout})
            canary = Canary(items=40)
            swapped = replace(asking, images="swapped")
            evaluation = (0, "eval-base")
            for step in (
                Step(0, "canary", CanaryItems((0, "heldout"), 40, 1)),
                Step(*evaluation, Evaluate((0, "heldout"), model, "the base", asking)),
                Step(
                    0,
                    "canary-base",
                    Look(model, evaluation, "the base", swapped, canary, stops=True),
                ),
            ):
                run.made[step.key] = step.carry_out(run)[0]
            return run.made[0, "canary-base"]

        def looks(content: Any, _: int) -> str:
            return f"<answer>{by_image[images_of(content)[0]]}</answer>"

        def reads(content: Any, _: int) -> str:
            return f"<answer>{words_of(content).split()[0]}</answer>"

        made = run_of(looks, "looks")
        assert made.manifest.facts["accuracy"]["value"] == 0.0 and made.manifest.rows == 40
        assert told == [told[0]] and told[0].startswith("the base looks: the image is worth +100.0")
        with pytest.raises(UserError, match="answers no better with its own images") as stopped:
            run_of(reads, "reads")
        assert "--set canary=off" in str(stopped.value) and "\n" not in str(stopped.value)


def test_a_processor_that_blanks_stops_the_run_at_the_base(workspace: Path, tmp_path: Path) -> None:
    """Before a round is paid for, the base is asked, and its processor checked."""
    blanks = tmp_path / "blanks"
    shutil.copytree(BUNDLED / "miniature" / "vlm", blanks)
    file = blanks / "processor_config.json"
    config = json.loads(file.read_text())
    config["image_processor"]["rescale_factor"] = 255**-2
    file.write_text(json.dumps(config))
    recipe = write_small(tmp_path / "small.yaml", canary={"items": 8})
    tree = yaml.safe_load(recipe.read_text())
    tree["models"]["base"]["model"] = str(blanks)
    recipe.write_text(yaml.safe_dump(tree))
    sentence = vlt_error("run", recipe, "-w", workspace)
    assert "encodes a black picture and a white one nearly the same" in sentence
    assert not Store(workspace).versions("items")
