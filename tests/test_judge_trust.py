"""How far a judge can be trusted: compared with people's marks, and tested with filler and order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli import vlt, vlt_error, vlt_json
from tests.judges import Judges, judgement, truth
from tests.rows import dataset, item, sample
from vlt.engine.model import Model
from vlt.errors import UsageError
from vlt.evaluation.judge_agreement import kappa, kappa_interval
from vlt.evaluation.judge_bias import bias, padded
from vlt.judging.rubric import load_rubric
from vlt.workspace.flags import Flag, Flags
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace


@pytest.mark.parametrize(
    ("table", "agreement", "expected"),
    [
        # (both pass, person alone, judge alone, both fail), then what scikit-learn 1.9.1 says of them:
        # accuracy_score and cohen_kappa_score.
        ((4, 2, 1, 3), 0.7, 0.4),
        ((26, 2, 3, 19), 0.9, 0.796084828711),
        ((115, 72, 6, 7), 0.61, 0.045638076594),
        ((5, 6, 10, 9), 0.466666666667, -0.066666666667),
        ((0, 1, 11, 0), 0.0, -0.180327868852),
        ((284, 87, 188, 441), 0.725, 0.441937107327),
    ],
)
def test_agreement_and_kappa_are_those_of_scikit_learn(
    workspace: Path, table: tuple[int, ...], agreement: float, expected: float
) -> None:
    both = [("pass", "pass"), ("pass", "fail"), ("fail", "pass"), ("fail", "fail")]
    pairs = [pair for pair, n in zip(both, table, strict=True) for _ in range(n)]
    people, judges = [a for a, _ in pairs], [b for _, b in pairs]
    assert kappa(people, judges) == pytest.approx(expected, abs=1e-9)
    low, high = kappa_interval(people, judges)
    assert low is not None and high is not None and low <= expected <= high
    if len(pairs) > 100:
        return  # a mark is a file written anew
    store = Store(workspace)
    rows, flags = [], Flags(store.root)
    for number, (_, judge) in enumerate(pairs):
        score = 5.0 if judge == "pass" else 2.0
        one = {"rubric": "sound", "model": "j", "score": score, "verdict": judge, "reason": "so"}
        rows.append(sample("2", number, item("Q?"), model="m", judgements=[one]))
    made = dataset(store, "judged", "sample", rows)
    for row, (person, _) in zip(rows, pairs, strict=True):
        mark = "accept" if person == "pass" else "flag"
        flags.put(Flag(row["id"], row["sample"], "m", mark, "a note"))
    from vlt.evaluation.judge_agreement import agreement as measured

    found = measured(store, made)["rubrics"]["sound"]
    assert found["agreement"]["value"] == pytest.approx(agreement, abs=1e-9)
    assert found["kappa"]["value"] == pytest.approx(expected, abs=1e-9)
    a, b, c, d = table
    assert found["confusion"] == {
        "accept": {"pass": a, "fail": b, "unjudged": 0},
        "flag": {"pass": c, "fail": d, "unjudged": 0},
    }
    assert len(found["differ"]) == b + c


def test_kappa_where_there_is_nothing_to_tell() -> None:
    assert kappa([], []) is None
    assert kappa(["pass"] * 3, ["pass"] * 3) is None
    assert kappa_interval(["pass"] * 3, ["pass"] * 3) == (None, None)
    assert kappa(["pass", "fail"], ["pass", "fail"]) == 1


@pytest.fixture
def marked(workspace: Path) -> Dataset:
    """Six samples with true scores; people accept three and flag two, and judge the item as a whole."""
    store = Store(workspace)
    of = item("How many?")
    scores = [5, 4, 2, 5, 1, 3]
    rows = [
        sample(f"<think>[[{i}:{score}]]</think> 2", i, of, model="m")
        for i, score in enumerate(scores)
    ]
    made = dataset(store, "samples", "sample", rows)
    flags = Flags(store.root)
    for number, mark in enumerate(["accept", "accept", "accept", "flag", "flag"]):
        flags.put(Flag(of["id"], number, "m", mark, f"note {number}"))
    flags.put(Flag(of["id"], None, None, "flag", "the question is unclear"))
    return made


@pytest.mark.usefixtures("marked")
def test_beside_the_marks_of_people(workspace: Path) -> None:
    command = ["judge", "-w", workspace]
    assert "nothing in workspace" in vlt_error(*command, "--agreement")
    assert "has no judgements by any rubric" in vlt_error(
        *command, "samples", "--agreement", code=2
    )
    with Judges("right") as server:
        vlt(*command, "--model", "j", "--base-url", server.url, "--rubric", "sound")
    said = vlt(*command, "--agreement")
    assert "judged@v1: 5 rows marked by people" in said
    assert "agreement 60.0 % [23.1, 88.2], Cohen's kappa 0.17" in said
    assert "where they differ (2)" in said and "note 2" in said and "note 3" in said
    found = vlt_json(*command, "judged", "--agreement", "--rubric", "sound")["rubrics"]["sound"]
    assert found["confusion"]["accept"] == {"pass": 2, "fail": 1, "unjudged": 0}
    assert [(row["sample"], row["judge"]) for row in found["differ"]] == [(2, "fail"), (3, "pass")]
    assert "there are judgements by sound" in vlt_error(
        *command, "--agreement", "--rubric", "caption", code=2
    )
    (workspace / "flags.parquet").unlink()
    assert "is marked; accept and flag some" in vlt_error(*command, "--agreement", code=2)
    assert "asks no model" in vlt_error(*command, "--agreement", "--model", "m", code=2)


def several(store: Store, items: int = 6) -> Dataset:
    """Two responses to each item, of different true scores."""
    rows = [
        sample(f"<think>[[{i}-{k}:{2 + 2 * k}]] so</think> 2", k, item(f"Q{i}?"), reasoning="so")
        for i in range(items)
        for k in range(2)
    ]
    return dataset(store, "samples", "sample", rows)


def fair(text: str) -> Any:
    """Names the better of two by its true score, in either position."""
    if '"better"' not in text:
        return judgement(truth(text))
    import re

    first, second = (int(score) for score in re.findall(r"\[\[[\w-]+:(\d+)\]\]", text))
    return json.dumps({"reason": "r", "better": "first" if first > second else "second"})


def test_a_fair_judge_is_not_moved(workspace: Path) -> None:
    with Judges(fair) as server, Workspace(workspace) as store:
        model = Model("j", base_url=(server.url,))
        found = bias(store, several(store), model, load_rubric("sound"))
        assert found.length["shift"] == {"value": 0, "low": 0, "high": 0}
        assert (found.length["rows"], found.length["flips"]["value"]) == (12, 0)
        assert (found.position["pairs"], found.position["flips"]["value"]) == (6, 0)
        assert found.position["first"]["value"] == 0.5
        asked = server.answered.total()
        assert asked == 2 * 12 + 2 * 6
        bias(store, store.open("samples"), model, load_rubric("sound"))
        assert server.answered.total() == asked  # all of it was in the journal
        forms = {body["response_format"]["json_schema"]["name"] for body in server.bodies}
        assert forms == {"judgement", "comparison"}


def test_a_biased_judge_is_found_out(workspace: Path) -> None:
    with Judges("biased") as server:
        several(Store(workspace))
        command = ["judge", "samples", "-w", workspace, "--bias", "--model", f"j@{server.url}"]
        found = vlt_json(*command, "--rubric", "sound")["j"]
        assert (
            found["length"]["shift"]["value"] == 1.5
        )  # from 2 to 4, and from 4 to the end of the scale
        assert found["length"]["shift"]["low"] > 1
        assert found["length"]["flips"]["value"] == 0.5
        assert found["position"]["flips"]["value"] == found["position"]["first"]["value"] == 1
        said = vlt(*command, "--rubric", "sound")
        assert "filler added to 12 responses: score +1.50 [" in said
        assert "the first was chosen in 100.0 %" in said
        assert server.answered.total() == 36
        assert not Store(workspace).versions("judged")
        assert "prompt has {response}" in vlt_error(*command, "--rubric", "caption", code=2)


def test_replies_that_are_none_are_left_out_and_told(workspace: Path) -> None:
    with Judges("talkative") as server, Workspace(workspace) as store:
        server.says = lambda _, text: "prose" if '"better"' in text else judgement(truth(text))
        found = bias(
            store, several(store, 2), Model("j", base_url=(server.url,)), load_rubric("sound")
        )
        assert found.position["pairs"] == 0 and found.position["unjudged"] == 2
        assert found.length["rows"] == 4
        captions = dataset(store, "c", "caption", [{**item(), "caption": "x"}])
        with pytest.raises(UsageError, match="--bias judges responses"):
            bias(store, captions, Model("j", base_url=(server.url,)), load_rubric("sound"))


def test_padding_says_nothing_and_leaves_the_answer() -> None:
    row = {"response": "<think>Two.</think> <answer>2</answer>", "reasoning": "Two."}
    longer = padded(row)
    assert longer["response"].startswith("<think>Let me think about this carefully")
    assert longer["response"].endswith("Two.</think> <answer>2</answer>")
    assert longer["reasoning"].endswith(" Two.")
    assert len(longer["response"]) > 400
    assert padded({"response": "2", "reasoning": None})["response"].endswith(" 2")
