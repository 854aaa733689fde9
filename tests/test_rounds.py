"""What a round decides: which checkpoint is kept, which items are kept out, when to stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.benchmark_files import copy_of
from tests.cli import run_vlt, vlt_error, vlt_json
from tests.small_recipe import write_small
from vlt.workspace.store import Dataset, Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """(recipe, workspace, result): held-out items among the others, GRPO's best step kept."""
    home = tmp_path_factory.mktemp("rounds")
    recipe = write_small(home / "small.yaml")
    tree = yaml.safe_load(recipe.read_text())
    (heldout,) = tree["heldout"]["items"]
    other = {**heldout, "settings": {**heldout["settings"], "n": 12, "seed": 7}}
    tree["heldout"]["base"] = False
    benchmark = {
        "source": "mathvista",
        "settings": {"path": str(copy_of("mathvista", home / "hub"))},
    }
    tree["decontaminate"] = {"against": [benchmark]}
    tree["validation"] = {"items": [heldout, other], "draw": tree["heldout"]["draw"]}
    first, second = tree["rounds"]
    first["items"].append(heldout)
    first["grpo"][0]["train"]["choose"] = {"every": 1}
    first["grpo"][0]["train"]["settings"]["max_steps"] = 3
    second["grpo"][0] = {**first["grpo"][0], "difficulty": [0.0, 1.0]}
    recipe.write_text(yaml.safe_dump(tree))
    return recipe, home / "workspace", vlt_json("run", recipe, "-w", home / "workspace")


def opened(done: tuple[Path, Path, Any], ref: str) -> Dataset:
    return Store(done[1]).open(ref)


def test_held_out_items_are_kept_out(done: tuple[Path, Path, Any]) -> None:
    held = set(opened(done, "heldout").table(["id"]).column("id").to_pylist())
    imported, items = opened(done, "items-all@r1"), opened(done, "items@r1")
    assert held < set(imported.table(["id"]).column("id").to_pylist())
    assert held.isdisjoint(items.table(["id"]).column("id").to_pylist())
    dropped = items.dropped.table().to_pylist()
    assert held <= {row["id"] for row in dropped}
    assert {row["filter"] for row in dropped} == {"decontaminate"}
    assert [parent.name for parent in items.manifest.parents] == [
        "items-all",
        "heldout",
        "validation",
        "mathvista",
    ]


def test_checkpoints_are_chosen_on_items_that_report_nothing(done: tuple[Path, Path, Any]) -> None:
    held, validation = opened(done, "heldout"), opened(done, "validation")
    ids = [set(d.table(["id"]).column("id").to_pylist()) for d in (held, validation)]
    assert ids[1] and ids[0].isdisjoint(ids[1])
    model = opened(done, "grpo-model@r1")
    assert validation.ref in [parent.ref for parent in model.manifest.parents]
    assert held.ref not in [parent.ref for parent in model.manifest.parents]
    chosen = model.manifest.facts["chosen"]
    assert [score["step"] for score in chosen["of"]] == [1, 2, 3]
    best = max(score["value"] for score in chosen["of"])
    assert chosen["step"] == min(s["step"] for s in chosen["of"] if s["value"] == best)
    judged = [v for v in Store(done[1]).versions("choose-grpo") if v.manifest.round == 1]
    assert [v.manifest.facts["accuracy"]["value"] for v in judged] == [
        score["value"] for score in chosen["of"]
    ]


def test_the_best_steps_model_is_the_checkpoint(done: tuple[Path, Path, Any]) -> None:
    """Its weights are those whose answers on the validation items had the best accuracy."""
    model = opened(done, "grpo-model@r1")
    place = model.manifest.facts["chosen"]["step"] - 1
    store = Store(done[1])
    answers = [v for v in store.versions("choose-grpo-answers") if v.manifest.round == 1]
    assert answers[place].manifest.parameters["model"] == {"digest": model.manifest.digest}
    assert len({v.manifest.parameters["model"]["digest"] for v in answers}) == 3
    for file in ("metrics.parquet", "rollouts.parquet", "processor_config.json"):
        assert (model.path / file).is_file()
    left = {path.name for path in model.path.parent.iterdir()} - {".lock"}
    assert left == {"v1", "v2"}


def test_a_band_by_new_rollouts(done: tuple[Path, Path, Any]) -> None:
    rated = opened(done, "grpo-rated@r2")
    samples = opened(done, "grpo-samples@r2")
    sft = opened(done, "sft-model@r2")
    assert samples.manifest.parameters["model"] == {"digest": sft.manifest.digest}
    assert rated.manifest.rows == samples.manifest.rows == 2 * 8
    model = opened(done, "grpo-model@r2")
    assert rated.ref in [parent.ref for parent in model.manifest.parents]
    assert model.manifest.parameters["difficulty"] == [0.0, 1.0]


def test_start_at_a_step(done: tuple[Path, Path, Any], tmp_path: Path) -> None:
    """An edited recipe: earlier steps stay as they were, later ones are made again."""
    recipe, workspace, result = done
    tree = yaml.safe_load(recipe.read_text())
    tree["captions"]["max_tokens"] = 39
    tree["filters"] = [*tree["filters"], {"max_words": 400}]
    edited = tmp_path / "edited.yaml"
    edited.write_text(yaml.safe_dump(tree))
    before = {v.ref for v in Store(workspace).all()}
    again = run_vlt(
        "run", edited, "--from", "sft@r1", "--until", "sft@r1", "-w", workspace, "--json"
    )
    assert again.returncode == 0, again.stderr
    assert "captions: captions@v1, used as it is" in again.stderr
    made = {v.ref for v in Store(workspace).all()} - before
    assert {ref.partition("@")[0] for ref in made} == {"sft"}
    (row,) = json.loads(again.stdout)["rounds"]
    assert row["samples"] == result["rounds"][0]["samples"]

    plan = vlt_json("run", recipe, "--dry-run", "--from", "grpo-model", "--until", "eval-grpo")
    assert [(s["round"], s["step"]) for s in plan if not s["earlier"]] == [
        (2, "grpo-model"),
        (2, "eval-grpo"),
    ]
    sentence = vlt_error("run", recipe, "--from", "sft", "-w", tmp_path / "empty")
    assert "round 2 has no samples in workspace" in sentence


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "nonsense"], "'nonsense' is not a step of round 2; its steps are items-all"),
        (["--from", "sft@r3"], "there are rounds 1 to 2"),
        (["--from", "sft@", "--rounds", "1"], "write e.g. sft or sft@r1"),
        (["--from", "eval-grpo", "--until", "sft"], "leaves nothing to do"),
    ],
)
def test_steps_that_there_are_not(
    done: tuple[Path, Path, Any], options: list[str], says: str
) -> None:
    assert says in vlt_error("run", done[0], *options, "-w", done[1], code=2)


def test_a_round_that_does_not_help_is_the_last(
    done: tuple[Path, Path, Any], tmp_path: Path
) -> None:
    recipe, workspace, result = done
    tree = yaml.safe_load(recipe.read_text())
    tree["rounds"].append(tree["rounds"][1])
    tree["stop"] = {"min_gain": 101}
    longer = tmp_path / "longer.yaml"
    longer.write_text(yaml.safe_dump(tree))
    stopped = vlt_json("run", longer, "-w", workspace)
    assert len(stopped["rounds"]) == 2
    ends = [row["grpo"]["value"] for row in result["rounds"]]
    assert f"gains {100 * (ends[1] - ends[0]):+.1f} points" in stopped["stopped"]
    assert "over round 1's on 16 held-out items" in stopped["stopped"]
    assert result["stopped"] is None


def test_again_is_nothing(done: tuple[Path, Path, Any]) -> None:
    recipe, workspace, result = done
    before = len(Store(workspace).all())
    assert vlt_json("run", recipe, "-w", workspace)["rounds"] == result["rounds"]
    assert len(Store(workspace).all()) == before
