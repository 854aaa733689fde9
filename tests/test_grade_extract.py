"""Where the final answer is: reasoning, tags, boxes, phrases."""

from __future__ import annotations

import pytest

from vlt.grade import extract, split_reasoning


@pytest.mark.parametrize(
    ("response", "reasoning", "rest"),
    [
        ("<think>a</think> b", "a", "b"),
        ("a </think> b", "a", "b"),
        ("<think>cut", "cut", ""),
        ("plain", "", "plain"),
        ("", "", ""),
        ("<think></think>b", "", "b"),
        ("<think>a</think><think>b</think>c", "a</think><think>b", "c"),
        ("<think>a</think>b<think>c", "a\nc", "b"),
        ("x <think>a</think> b", "a", "b"),
        ("<think>\n\na\n</think>\n\nb\n", "a", "b"),
    ],
)
def test_split_reasoning(response: str, reasoning: str, rest: str) -> None:
    assert split_reasoning(response) == (reasoning, rest)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<answer>5</answer>", "5"),
        ("<answer>4</answer><answer>5</answer>", "<answer>4</answer><answer>5</answer>"),
        ("<answer>4</answer> no, <answer>5</answer>", "5"),
        ("<answer>5", "5"),
        ("<ANSWER>5</ANSWER>", "5"),
        ("<answer></answer>", None),
        ("\\boxed{4} <answer>5</answer>", "5"),
        ("<answer>\\boxed{\\frac{1}{2}}</answer>", "\\frac{1}{2}"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{4} then \\boxed{5}", "5"),
        ("\\boxed{4} or \\boxed{5}", "4 or 5"),
        ("\\boxed{3}, \\boxed{5}", "3, 5"),
        ("<answer>4</answer> or <answer>5</answer>", "4 or 5"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed 5", "5"),
        ("\\boxed{}", None),
        ("The final answer is 5.", "5."),
        ("The answer is 3.5. We are done.", "3.5"),
        ("The answer is 5, because 2 + 3 = 5. Done.", "5, because 2 + 3 = 5"),
        ("Answer: B", "B"),
        ("The answer is B. Or C.", "B. Or C."),
        ("<think>The answer is 4</think>", None),
        ("<think><answer>4</answer></think>The answer is 5", "5"),
        ("The answer is simply connected.", "simply connected."),
        ("The answer is therefore 42", "therefore 42"),
        ("<answer>The answer is 12.</answer>", "The answer is 12."),
        ("<answer>12 cm, because 5 + 7 = 12</answer>", "12 cm, because 5 + 7 = 12"),
        ("The answer is Ms. Smith.", "Ms. Smith."),
        ("The answer is C. E.", "C. E."),
        ("The answer is 5</s>6", "5"),
        ("5<|im_end|>\n<|im_start|>user\n6", "5"),
        ("5\n\nQuestion: 2 + 4?\nAnswer: 6", "5"),
        ("<|begin_of_box|>5<|end_of_box|>", "5"),
        ("◁think▷6◁/think▷ The answer is 5", "5"),
        ('{"answer": 5}', "5"),
        ('```json\n{"answer": "5"}\n```', "5"),
        ('{"answer": 5, "other": 6}', '{"answer": 5, "other": 6}'),
        ("\\boxed{4}/\\boxed{5}", "4 or 5"),
        ("\\boxed{4}. Wait, \\boxed{5}", "5"),
        ("\\boxed{4} with \\boxed{5}", "\\boxed{4} with \\boxed{5}"),
        ("<answer>4<answer>5</answer></answer>", "4<answer>5"),
        ("The correct option is B.", "B."),
        ("It corresponds to option D", "option D"),
        ("The wrong answer is A.", "The wrong answer is A."),
        ("答案是5", "5"),
        ("La respuesta es 5", "5"),
        ("5", "5"),
        ("", None),
        (" \n ", None),
    ],
)
def test_extract(response: str, answer: str | None) -> None:
    assert extract(response) == answer
