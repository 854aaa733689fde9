"""A grader of a newcomer's own, as docs/extending.md shows it, by the real command line."""

# ruff: noqa: ARG001

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.newcomer import Newcomer
from tests.rows import dataset, item, sample
from vlt.errors import UsageError, UserError
from vlt.filters.apply import make_filtered
from vlt.grade import Grade, grade_many
from vlt.train.rewards import accuracy, check_reward
from vlt.workspace.store import Store

SAYS = {
    "<answer>103</answer>": "correct",
    "<answer>110</answer>": "wrong",
    "<answer>none</answer>": "wrong",
    "<answer>1.2.3</answer>": "unjudged",
}


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    """With samples in a workspace and in a file."""
    made = Newcomer(tmp_path)
    rows = [sample(text, n, item(answer="100")) for n, text in enumerate(SAYS)]
    dataset(Store(tmp_path / "workspace"), "samples", "sample", rows)
    lines = [json.dumps({"response": text, "answer": "100"}) for text in SAYS]
    (tmp_path / "responses.jsonl").write_text("\n".join(lines))
    return made


def test_the_page_as_it_is_written(newcomer: Newcomer) -> None:
    (commands,) = newcomer.write("A grader")["bash"]
    grade, filter, evaluate = commands.splitlines()
    found = json.loads(newcomer.run(f"{grade} --json"))
    assert found["graders"]["close.py:close"] == {"correct": 1, "unjudged": 1, "wrong": 2}
    found = json.loads(newcomer.run(f"{filter} --json"))
    assert found["dropped"] == {"verify": {"wrong": 2, "unjudged": 1}}
    store = Store(newcomer.folder / "workspace")
    entry, _ = store.open("sft").manifest.parameters["chain"]
    assert entry["grader"]["plugin"] == "close"
    assert str(newcomer.folder) not in json.dumps(entry)
    gone = store.open("sft").dropped.table(["verdict_reason"])["verdict_reason"].to_pylist()
    assert (
        "close raised ValueError: could not convert string to float: '1.2.3' (close.py, line "
        in (" ".join(gone))
    )
    newcomer.run(evaluate)
    made = store.open("samples-eval").manifest
    assert made.parameters["grader"] == entry["grader"]
    file = newcomer.folder / "close.py"
    file.write_text(file.read_text().replace("0.05", "0.5"))
    assert json.loads(newcomer.run(f"{filter} --json"))["dataset"] == "sft@v2"
    said = newcomer.run("vlt eval samples --grader close.py:far", code=2)
    assert "the module has no 'far'; it has close" in said
    assert "'near' is not a grader" in newcomer.run("vlt filter --verify --grader near", code=2)


def by_meta(response: str, answer: str, meta: str, **others: Any) -> Any:
    assert others["source"] == "test"
    return {"yes": True, "no": np.bool_(False), "pair": ("wrong", "so")}.get(
        meta, Grade("correct", "7", "as told")
    )


def nonsense(response: str, answer: str) -> str:
    return response + answer


def test_a_function_takes_the_columns_that_it_names(workspace: Path) -> None:
    store = Store(workspace)
    rows = [sample("1", n, item(meta=meta)) for n, meta in enumerate(("yes", "no", "pair", "{}"))]
    data = dataset(store, "samples", "sample", rows)
    made, _ = make_filtered(store, data, chain=[{"grade": {"grader": by_meta}}])
    found = made.table(["verdict", "verdict_reason", "predicted"]).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("correct", "by_meta", "1"),
        ("wrong", "by_meta", "1"),
        ("wrong", "so", "1"),
        ("correct", "as told", "7"),
    ]
    with pytest.raises(UserError, match="the grader the function nonsense returned '12' "):
        make_filtered(store, data, chain=[{"verify": {"grader": nonsense}}], name="other")


def test_rewards_and_columns_take_it_too(newcomer: Newcomer) -> None:
    newcomer.write("A grader")
    named = f"{newcomer.folder}/close.py:close"
    identity = check_reward({"accuracy": 1, "grader": named})
    assert identity["grader"]["plugin"] == "close"
    columns = {name: [None] for name in ("question", "choices", "answer_type")}
    said = accuracy(grader=named)(completions=["so 103"], answer=["100"], **columns)
    assert said == [1.0]
    (grade,) = grade_many(["104"], ["100"], grader=named)
    assert grade == Grade("correct", "104", "close")
    with pytest.raises(UsageError, match="file.py:name"):
        grade_many(["104"], ["100"], grader="guess")
