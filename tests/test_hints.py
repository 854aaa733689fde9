"""Hints for items that are never solved: part of the prompt, recorded, faded, and part of the identity."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from tests.rows import dataset
from tests.tiny import item_rows, tiny_vlm, trained
from vlt.errors import UserError
from vlt.train.hints import TRACE, Fade, first_part
from vlt.workspace.store import Dataset, Store

TRACE_OF = "<think>red blue red blue red blue {answer} .</think> <answer>{answer}</answer>"
GRPO = {
    "per_device_train_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 8,
    "max_steps": 2,
}


@pytest.mark.parametrize(
    ("trace", "share", "hint"),
    [
        ("<think>\nOne two three four.\n</think> <answer>4</answer>", 0.5, "<think>\nOne two"),
        ("<think>One two three four.</think> <answer>4</answer>", 1.0, "<think>One two three"),
        ("<think>One two three four.</think> <answer>4</answer>", 0.1, ""),
        ("So one two three is \\boxed{4}", 0.6, "So one two"),
        ("先看第一步然后第二步再看</think><answer>4</answer>", 0.5, "先看第一步然"),
        ("It is four.", 0.5, ""),
    ],
)
def test_the_first_part_of_a_thought_between_words(trace: str, share: float, hint: str) -> None:
    assert first_part(trace, share) == hint
    assert trace.startswith(hint)


def test_the_share_falls() -> None:
    assert [Fade(0.5).at(step, 4) for step in range(5)] == [0.5, 0.375, 0.25, 0.125, 0]
    assert Fade(0.5, 2).at(1, 99) == 0.25 and Fade(0.5, 2).at(3, 99) == 0
    assert Fade(0.5, 0).at(98, 99) == 0.5


def rated(store: Store) -> tuple[Dataset, Dataset]:
    """(graded samples of 8 items, the even ones never solved; a teacher's verified traces of all)."""
    rows = item_rows(store, 8)
    graded = [
        {
            **row,
            "sample": 0,
            "response": "<answer>x</answer>",
            "finish_reason": "stop",
            "verdict": "correct" if place % 2 else "wrong",
        }
        for place, row in enumerate(rows)
    ]
    traces = [
        {
            **row,
            "sample": 0,
            "response": TRACE_OF.format(answer=row["answer"]),
            "finish_reason": "stop",
            "verdict": "correct",
        }
        for row in rows
    ]
    return dataset(store, "rated", "sample", graded), dataset(store, "traces", "sample", traces)


@pytest.mark.slow
def test_a_training_with_hints(tmp_path: Path) -> None:
    store = Store(tmp_path / "workspace")
    model = str(tiny_vlm(tmp_path / "vlm"))
    data, traces = rated(store)
    unsolved = {row["id"] for row in item_rows(store, 8)[::2]}
    plain, _ = trained("grpo", store, data, model=model, settings=GRPO, name="plain")
    assert "hints" not in plain.manifest.parameters
    made, _ = trained(
        "grpo", store, data, model=model, settings=GRPO, hints="traces", hint_fade=1, name="hinted"
    )
    m = made.manifest
    assert m.parameters["hints"] == {"share": 0.5, "fade": 1} and m.facts["hinted_items"] == 4
    assert traces.ref in [parent.ref for parent in m.parents]
    rows = pq.read_table(made.path / "rollouts.parquet").to_pylist()
    first = [row for row in rows if row["step"] == 0]
    assert {row["hint"] for row in first if row["id"] in unsolved} == {"<think>red blue red"}
    for row in first:
        hinted = row["id"] in unsolved
        assert row["hint_share"] == (0.5 if hinted else 0)
        assert row["response"].startswith("<think>") or not hinted, "judged as a whole response"
        assert not row["response"].startswith("<think>red blue red"), "the hint is not judged"
    assert all(row["hint"] is None for row in rows if row["step"] == 1), "faded out"
    again, existed = trained(
        "grpo", store, data, model=model, settings=GRPO, hints="traces", hint_fade=1, name="hinted"
    )
    assert existed and again.ref == made.ref


def test_the_hint_is_the_prompts_end() -> None:
    """Also if the template opens the reasoning itself: the tag is there once."""
    from vlt.train.grpo_trainer import RowsGRPOTrainer

    def asked(prompt: str, share: float, step: int = 0) -> dict[str, object]:
        trainer = SimpleNamespace(
            turns=SimpleNamespace(prompt=lambda _: prompt),
            fade=Fade(share),
            state=SimpleNamespace(global_step=step, max_steps=10),
        )
        row = {TRACE: TRACE_OF.format(answer="red"), "images": []}
        return RowsGRPOTrainer._asked(trainer, row)  # type: ignore[arg-type]

    found = asked("ask:", 0.5)
    assert found["text"] == "ask:<think>red blue red" and found["opened"] == "<think>"
    found = asked("ask:<think>\n", 0.5)
    assert found["text"] == "ask:<think>\nred blue red" and found["opened"] == "<think>"
    found = asked("ask:", 0.5, step=10)
    assert found["text"] == "ask:" and found["opened"] == "" and found["hint"] is None


def test_hints_need_pass_rates_and_verdicts(workspace: Path) -> None:
    from vlt.train.methods.grpo import GrpoTraining, rows

    store = Store(workspace)
    data, _ = rated(store)
    items = dataset(store, "items", "item", item_rows(store, 2))
    with pytest.raises(UserError, match="train on graded samples"):
        rows(store, items, GrpoTraining(hints="traces"))
    with pytest.raises(UserError, match="holds items; name samples"):
        rows(store, data, GrpoTraining(hints="items"))


def test_in_a_recipe(tmp_path: Path) -> None:
    """A step's name; the plan samples the student to find items that are never solved."""
    import yaml

    from vlt.errors import UsageError
    from vlt.runs.loop import plan
    from vlt.runs.recipe import load_recipe

    def steps(**train: object) -> dict[str, list[str]]:
        tree = {
            "name": "mine",
            "models": {"base": "b", "captioner": "c", "reasoner": "r"},
            "rounds": [{"teacher": "reasoner", "items": [{"source": "miniature"}]}],
            "sft": {},
            "grpo": [{"train": train}],
        }
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(tree))
        return {s.name: [name for _, name in s.stage.inputs] for s in plan(load_recipe(str(file)))}

    found = steps(hints="sft", hint_share=0.3)
    assert found["grpo-samples"] == ["items", "sft-model"]
    assert found["grpo-model"] == ["grpo-rated", "sft-model", "sft"]
    for wrong in ("sft@r2", "samples"):
        with pytest.raises(UsageError, match="hints"):
            steps(hints=wrong)
