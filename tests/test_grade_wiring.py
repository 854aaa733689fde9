"""The same conventions in filters, rewards, evaluation and Python, and as a part of the identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.grade_attack import attempts
from benchmarks.grade_hedge import train
from tests.rows import dataset, item, sample
from vlt.evaluation.evaluate import with_verdicts
from vlt.filters.apply import make_filtered
from vlt.filters.rules.verify import Verify
from vlt.grade import Options
from vlt.grade.graders import Grader
from vlt.train.rewards import accuracy, check_reward
from vlt.workspace.store import Store

NAMED = "vlt:relative_tolerance=0.05"
SAID = ("<answer>100</answer>", "<answer>104</answer>", "<answer>110</answer>")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "workspace")
    rows = [sample(text, n, item(answer="100")) for n, text in enumerate(SAID)]
    dataset(made, "samples", "sample", rows)
    return made


def test_filters_take_them(store: Store) -> None:
    samples = store.open("samples")
    strict, _ = make_filtered(store, samples, chain=["verify"], name="strict")
    relaxed, _ = make_filtered(store, samples, chain=[{"verify": NAMED}], name="relaxed")
    assert [made.table(["id"]).num_rows for made in (strict, relaxed)] == [1, 2]
    assert strict.manifest.parameters["chain"][0]["grader"] == "vlt"
    assert relaxed.manifest.parameters["chain"][0]["grader"] == {
        "name": "vlt",
        "relative_tolerance": 0.05,
    }


@pytest.mark.parametrize("grader", [NAMED, Options(relative_tolerance=0.05)])
def test_python_takes_them(grader: Grader) -> None:
    assert Verify(grader=grader).identity() == {
        "grader": {"name": "vlt", "relative_tolerance": 0.05}
    }
    assert Verify().identity() == {"grader": "vlt"}


def test_an_evaluation_takes_them(store: Store) -> None:
    (batch,) = store.open("samples").batches()
    for grader, right in (("vlt", 1), (NAMED, 2)):
        verdicts = with_verdicts(batch, grader).column("verdict").to_pylist()
        assert verdicts.count("correct") == right


def test_a_reward_takes_them() -> None:
    nothing = [None] * len(SAID)
    for grader, values in (("vlt", [1.0, 0.0, 0.0]), (NAMED, [1.0, 1.0, 0.0])):
        reward = accuracy(grader=grader)
        assert reward(list(SAID), ["100"] * 3, nothing, nothing, nothing) == values
    assert check_reward({"accuracy": 1.0, "grader": NAMED})["grader"] == {
        "name": "vlt",
        "relative_tolerance": 0.05,
    }
    assert check_reward({"accuracy": 1.0, "grader": "vlt"})["grader"] == "vlt"


def test_the_reward_pays_no_hedge() -> None:
    """What the adversary builds without committing earns nothing, whichever gold answer is correct."""
    reward = accuracy()
    texts, golds, choices = [], [], []
    for built, a, b, options in attempts(1500, seed=11):
        if not built.may and not built.computed:
            for gold in (a, b):
                texts.append(built.text)
                golds.append(gold)
                choices.append(list(options) if options else None)
    assert len(texts) > 500
    nothing = [None] * len(texts)
    values = reward(texts, golds, nothing, choices, nothing)
    assert not any(values), [text for text, value in zip(texts, values, strict=True) if value]


def test_a_policy_that_may_hedge_does_not_learn_to() -> None:
    found = train(120, seed=1)
    assert found["hedges before"] == pytest.approx(0.5)
    assert found["hedges after"] < 0.1
    assert found["reward of hedges"] == 0.0
    assert found["reward of answers"] > 0.4
