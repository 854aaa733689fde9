"""What judgements are used for: the filter `judged`, and `select` by score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vlt as package
from tests.cli import vlt, vlt_error
from tests.judges import Judges
from tests.rows import dataset, item, sample
from vlt.errors import UsageError, UserError
from vlt.filters.apply import make_filtered
from vlt.filters.protocol import settings
from vlt.filters.registry import parse_filter
from vlt.workspace.store import Dataset, Store


def said(*votes: tuple[str, float | None], rubric: str = "sound") -> list[dict[str, Any]]:
    return [
        {
            "rubric": rubric,
            "model": f"m{i}",
            "score": score,
            "verdict": verdict,
            "reason": f"is {score}",
        }
        for i, (verdict, score) in enumerate(votes)
    ]


@pytest.fixture
def judged(workspace: Path) -> Dataset:
    """pass, fail, unjudged, split, by another rubric alone, pass with a low mean."""
    votes = [
        said(("pass", 5.0)),
        said(("fail", 2.0)),
        said(("unjudged", None)),
        said(("pass", 5.0), ("fail", 3.0)),
        said(("pass", 5.0), rubric="grounded"),
        said(("pass", 4.0), ("pass", 4.0), ("fail", 1.0)),
    ]
    rows = [sample(f"<answer>2</answer> {i}", i, judgements=v) for i, v in enumerate(votes)]
    return dataset(Store(workspace), "judged", "sample", rows)


def kept(store: Store, judged: Dataset, **settings: Any) -> tuple[list[int], dict[str, str]]:
    """(the samples that stay, reason of each that goes)"""
    chain = [{"judged": {"rubric": "sound", **settings}}]
    made, _ = make_filtered(package.Workspace(store.root), judged, chain=chain)  # type: ignore[arg-type]
    gone = {str(r["sample"]): r["reason"] for r in made.dropped.rows()}
    return [r["sample"] for r in made.rows()], gone


def test_by_the_rubrics_pass(workspace: Path, judged: Dataset) -> None:
    stay, gone = kept(Store(workspace), judged)
    assert stay == [0, 5]
    assert gone["1"] == "failed by sound: is 2.0"
    assert gone["2"].startswith("unjudged by sound")
    assert gone["3"] == "unjudged by sound: no majority: 1 pass, 1 fail"
    assert gone["4"] == "unjudged by sound: nobody has judged it by this rubric"


def test_by_a_minimum_and_with_the_unjudged(workspace: Path, judged: Dataset) -> None:
    store = Store(workspace)
    assert kept(store, judged, min_score=3)[0] == [0, 5]
    stay, gone = kept(store, judged, min_score=4)
    assert (stay, gone["5"]) == ([0], "below 4 by sound: 3: is 4.0")
    assert kept(store, judged, unjudged="keep")[0] == [0, 2, 3, 4, 5]
    assert kept(store, judged, min_score=1.5, unjudged="keep")[0] == [0, 1, 2, 3, 4, 5]


def test_what_cannot_be_filtered(workspace: Path, judged: Dataset) -> None:
    store = Store(workspace)
    with pytest.raises(
        UsageError, match="judged only by sound, grounded; run `vlt judge judged@v1"
    ):
        make_filtered(package.Workspace(workspace), judged, chain=[{"judged": "mine"}])
    bare = dataset(store, "bare", "sample", [sample("a")])
    with pytest.raises(UsageError, match="bare@v1 is not judged yet; run `vlt judge bare@v1"):
        make_filtered(package.Workspace(workspace), bare, chain=[{"judged": "sound"}])
    with pytest.raises(UsageError, match="neither keep nor drop"):
        parse_filter({"judged": {"rubric": "sound", "unjudged": "maybe"}})
    with pytest.raises(UsageError, match="judged needs rubric"):
        parse_filter("judged")
    items = dataset(store, "items", "item", [item()])
    with pytest.raises(UsageError, match="'judgements', which items do not have"):
        make_filtered(package.Workspace(workspace), items, chain=[{"judged": "sound"}])


def test_select_by_score(workspace: Path) -> None:
    of = item("How many?")
    votes = [
        said(("pass", 4.0)),
        said(("pass", 5.0)),
        said(("unjudged", None)),
        said(("pass", 5.0), ("pass", 4.0)),
        [],
    ]
    rows = [
        sample(f"<answer>2</answer>{'.' * i}", i, of, judgements=v, verdict="correct")
        for i, v in enumerate(votes)
    ]
    rows.append(
        sample("<answer>3</answer>", 5, of, judgements=said(("pass", 5.0)), verdict="wrong")
    )
    judged = dataset(Store(workspace), "judged", "sample", rows)
    store = package.Workspace(workspace)
    best, _ = make_filtered(store, judged, chain=[{"select": "judged:sound"}])
    assert [row["sample"] for row in best.rows()] == [1]
    chain = [{"select": {"policy": "judged:sound", "cap": 3}}]
    three, _ = make_filtered(store, judged, chain=chain)
    assert [row["sample"] for row in three.rows()] == [0, 1, 3]
    with pytest.raises(UserError, match="no row has a score by 'mine'"):
        make_filtered(store, judged, chain=[{"select": "judged:mine"}])
    with pytest.raises(UsageError, match="is not a policy"):
        parse_filter({"select": "judged:"})


def test_filters_made_before_are_what_they_were() -> None:
    assert settings(parse_filter({"select": "shortest"})) == {
        "filter": "select",
        "policy": "shortest",
        "cap": 1,
    }


def test_judged_and_filtered_from_the_command_line_and_python(workspace: Path) -> None:
    store = Store(workspace)
    rows = [
        sample(f"<think>[[{i}:{score}]]</think> <answer>2</answer>", of=item(f"Q{i}?"))
        for i, score in enumerate((5, 1, 4))
    ]
    dataset(store, "samples", "sample", rows)
    with Judges("right") as server:
        ws = package.Workspace(workspace)
        model = package.Model("judge", base_url=server.url)
        made = ws.judge("samples", model, "sound")
        assert made.ref == "judged@v1" and server.answered.total() == 3
        judge = ["judge", "-w", workspace, "--model", "judge", "--base-url", server.url]
        assert "already there" in vlt(*judge, "--rubric", "sound")
        said = vlt("filter", "-w", workspace, "--verify", "--judged", "sound", "--min-score", 5)
        assert "below 5 by sound" in said
        assert store.open("sft").manifest.rows == 1
        assert ws.filter(made, ["verify", {"judged": "sound"}], name="py").manifest.rows == 2
    assert "--min-score is a setting of --judged" in vlt_error(
        "filter", "-w", workspace, "--verify", "--min-score", 5, code=2
    )
