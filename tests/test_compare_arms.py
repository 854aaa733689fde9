"""Arms compared by their evaluations: seeds pooled, spread, items solved by one arm only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_run import BASE, HELD_OUT, evaluation, write
from tests.rows import item
from vlt.cli.arms import print_arms
from vlt.runs.arms import Ran, end_of, recorded, side_by_side
from vlt.runs.record import RecordedRun, runs
from vlt.runs.status import status
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset, Store

END = (1, "eval-grpo")


@pytest.fixture
def arms(workspace: Path) -> tuple[Store, list[Ran]]:
    """Two arms with two seeds: of five items one right or two, and the other two or three."""
    store = Store(workspace)
    rows = [item(f"How many in {i}?", str(i)) for i in range(HELD_OUT)]
    held = write(store, Stage("import", {"source": "held"}), "heldout", "item", rows, [])

    def ran(arm: str, seed: int, level: int) -> Ran:
        name = f"eval-grpo.{arm}.s{seed}"
        made: Dataset = evaluation(store, name, held, {**BASE, "name": name}, level, round=1)
        return Ran(arm, seed, [((0, "heldout"), held), (END, made)], END)

    return store, [ran("loop", 1, 0), ran("loop", 2, 1), ran("other", 1, 1), ran("other", 2, 2)]


def test_seeds_are_pooled_and_paired(arms: tuple[Store, list[Ran]]) -> None:
    loop, other = side_by_side(arms[1])
    right = [5, 9, 9, 13]  # of 20: i % 5 <= level, and the last item
    assert loop["accuracy"]["n"] == other["accuracy"]["n"] == 2 * HELD_OUT
    assert loop["accuracy"]["value"] == pytest.approx((right[0] + right[1]) / 40)
    assert [score["value"] for score in other["seeds"]] == [right[2] / 20, right[3] / 20]
    assert loop["spread"] == pytest.approx(0.2 / 2**0.5)
    against = other["against"]
    assert loop["against"] is None and against["n"] == 2 * HELD_OUT
    assert (against["solved"], against["lost"]) == (8, 0) and against["p"] < 0.01
    assert against["difference"] == pytest.approx(0.2) and against["low"] > 0
    # Both seeds of `other` solve i % 5 == 1, of `loop` one: in more than half alone is `other`.
    assert (loop["alone"], other["alone"]) == (0, 4)
    assert loop["image"] is None and loop["planned"] is None


def test_an_arm_that_has_come_to_nothing_yet(
    arms: tuple[Store, list[Ran]], capsys: pytest.CaptureFixture[str]
) -> None:
    empty = Ran("late", 1, [], end_of([END]))
    print_arms(side_by_side([empty]), as_json=False)
    assert "`vlt run RECIPE --arms`" in capsys.readouterr().err
    print_arms(rows := side_by_side([*arms[1], empty]), as_json=False)
    assert not capsys.readouterr().err
    row = rows[-1]
    assert row["arm"] == "late" and row["accuracy"] is None and row["seeds"] == []
    assert row["against"] is None and row["alone"] is None and row["grpo_steps"] == 0


def test_what_images_are_worth_where_a_canary_asked(arms: tuple[Store, list[Ran]]) -> None:
    store, _ = arms
    from tests.pictures import png
    from vlt.images.store import ImageStore

    with ImageStore(store.images_folder) as images:
        shas = [images.add(png(i)) for i in range(HELD_OUT)]
    rows = [item(f"In {i}?", str(i), images=[shas[i]]) for i in range(HELD_OUT)]
    held = write(store, Stage("import", {"source": "seen"}), "seen", "item", rows, [])
    own = evaluation(store, "eval-x", held, {**BASE, "name": "x"}, 2, round=1)
    other = evaluation(store, "canary-x", held, {**BASE, "name": "y"}, 0, round=1)
    looked = Ran("loop", 1, [(END, own), ((1, "canary-grpo"), other)], END)
    (row,) = side_by_side([looked])
    assert row["image"]["difference"] == pytest.approx(0.4) and row["image"]["n"] == HELD_OUT


def test_records_know_arms(arms: tuple[Store, list[Ran]]) -> None:
    """The newest run of each arm and seed counts; what is left of a command waits."""
    store, made = arms
    labels = ["loop, seed 1", "other, seed 1", "late, seed 1"]
    for run in (made[0], made[2]):
        steps = [(*key, "", "") for key, _ in run.made]
        told = {"arm": run.arm, "seed": run.seed, "arms": labels}
        with RecordedRun(store.root, "mine", steps, **told) as record:
            for (number, name), version in run.made:
                record.begin(number, name)
                record.end(number, name, version.ref, False)
            state = status(store.root)
            assert state["run"]["recipe"] == f"mine, {run.arm}, seed 1"
            assert {row["arm"]: row["state"] for row in state["arms"]}["late, seed 1"] == "waiting"
    found = recorded(store, runs(store.root), "mine")
    assert [(run.arm, run.last and run.last.ref) for run in found] == [
        ("loop", made[0].last and made[0].last.ref),
        ("other", made[2].last and made[2].last.ref),
    ]
    assert recorded(store, runs(store.root), "theirs") == []
    assert status(store.root, "mine")["run"]["arm"] == "other"
    assert status(store.root, "loop, seed 1")["run"]["arm"] == "loop"


def test_records_of_an_older_vlt_are_read(workspace: Path) -> None:
    import json

    with RecordedRun(workspace, "mine", [(1, "sft", "", "")]):
        pass
    (file,) = (workspace / "runs").glob("*.json")
    old = json.loads(file.read_text())
    for name in ("of", "arm", "seed", "arms"):
        del old[name]
    file.write_text(json.dumps(old))
    (run,) = runs(workspace)
    assert run.recipe == "mine" and run.label == "" and status(workspace)["arms"] == []
