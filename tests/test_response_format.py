"""One response format for the filter, the reward and the evaluation."""

from __future__ import annotations

import pyarrow as pa
import pytest

from vlt.evaluation.summary import in_format as evaluated_in_format
from vlt.filters.rules.response_format import Format
from vlt.response_format import format_fault, in_format
from vlt.train.rewards import format as reward

WHOLE = "<think>a</think> <answer>1</answer>"


@pytest.mark.parametrize(
    ("response", "fault"),
    [
        (WHOLE, None),
        ("\n <think>a\nb</think>\n\n<answer> 1 </answer>\n", None),
        ("<answer>1</answer>", "not one <think>"),
        ("a</think> <answer>1</answer>", "not one <think>"),
        ("<think>a</think> 1", "not one <answer>"),
        ("<think>a</think> <answer>1", "not one </answer>"),
        ("<think>a</think> <answer>1</answer> <answer>2</answer>", "not one <answer>"),
        ("<think>a<think>b</think> <answer>1</answer>", "not one <think>"),
        ("<think> </think> <answer>1</answer>", "not think, then answer"),
        ("<think>a</think> <answer> </answer>", "not think, then answer"),
        ("so <think>a</think> <answer>1</answer>", "not think, then answer"),
        ("<think>a</think> so <answer>1</answer>", "not think, then answer"),
        ("<think>a</think> <answer>1</answer> so", "not think, then answer"),
        ("<answer>1</answer> <think>a</think>", "not think, then answer"),
        ("</think>a<think> <answer>1</answer>", "not think, then answer"),
        ("", "not one <think>"),
    ],
)
def test_filter_and_reward_go_by_one_form(response: str, fault: str | None) -> None:
    assert format_fault(response) == fault
    assert in_format(response) == (fault is None)
    judged = Format().judge(pa.RecordBatch.from_pylist([{"response": response}]))
    assert [reason.kind for reason in judged.each_reason()] == ([fault] if fault else [])
    assert reward([response]) == [float(fault is None)]


def test_the_evaluation_allows_words_before_the_answer_and_a_thought_that_the_template_opened() -> (
    None
):
    for response in (
        WHOLE,
        "<think>a</think> So: <answer>1</answer>",
        WHOLE.removeprefix("<think>"),
    ):
        assert evaluated_in_format(response)
    for response in (None, "1", "<answer>1</answer>", "<think>a</think> 1"):
        assert not evaluated_in_format(response)


def test_boxed() -> None:
    assert format_fault("<think>a</think> so \\boxed{1}.", boxed=True) is None
    assert format_fault("<think>\\boxed{1}</think> so 1", boxed=True) == "not think, then answer"
    assert format_fault("\\boxed{1}", boxed=True) == "not one <think>"
