"""Prompts that open the reasoning, the tag put back and removed, and where an answer ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.models.more_families import FAMILIES
from tests.models.tokenizers import shipped
from tests.tiny import tiny_tokenizer
from vlt.engine.chat import (
    end_token,
    messages_for,
    opened_thought,
    prompt_text,
    put_back,
    response_tokens,
    written_after,
)
from vlt.errors import UserError
from vlt.grade.extract import extract

ASKED = [{"role": "user", "content": "What colour?"}]


def templated(name: str) -> Any:
    """A tokenizer with a chat template that TRL ships."""
    found = FAMILIES["qwen3"].make()[1]
    found.chat_template = shipped(name)
    return found


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("qwen3_5_think", "<think>\n"),
        ("deepseek_r1_distill", "<think>\n"),
        ("qwen3", ""),
        ("qwen3_5_nothink", ""),  # opens and closes it
        ("qwen3_vl", ""),
        ("qwen2_5", ""),
    ],
)
def test_whether_a_prompt_opens_a_thought(name: str, opened: str) -> None:
    tokenizer = templated(name)
    assert opened_thought(prompt_text(tokenizer, messages_for(tokenizer, ASKED))) == opened


@pytest.mark.parametrize("response", ["<think>\nIt is red.\n</think>\n\n<answer>red</answer>"])
def test_what_is_put_back_is_taken_off(response: str) -> None:
    written = written_after("<think>\n", response)
    assert written == "It is red.\n</think>\n\n<answer>red</answer>"
    assert put_back("<think>\n", written) == response
    assert put_back("<think>\n", response) == response
    assert (put_back("", response), written_after("", response)) == (response, response)


def test_a_response_without_a_thought_closes_the_one_that_was_opened() -> None:
    assert written_after("<think>\n", "<answer>7</answer>") == "\n</think>\n\n<answer>7</answer>"
    headless = "So 7.\n</think>\n<answer>7</answer>"
    assert written_after("<think>\n", headless) == headless
    assert written_after("<think>\n", "<think>So 7.</think> 7") == "So 7.</think> 7"


def test_a_thought_that_was_cut_has_no_answer() -> None:
    cut = "I must give it in tags, maybe <answer>7</answer>? Let me recount \\boxed{7} and the"
    assert extract(put_back("<think>\n", cut)) is None


def test_a_template_that_refuses_is_one_sentence() -> None:
    tokenizer = FAMILIES["qwen2"].make()[1]
    tokenizer.chat_template = "{{ raise_exception('no system messages here') }}"
    with pytest.raises(UserError, match="cannot write the prompt: no system messages here"):
        prompt_text(tokenizer, messages_for(tokenizer, ASKED))


def test_the_end_is_the_templates_else_the_tokenizers() -> None:
    processor = FAMILIES["glm4v"].make()[1]
    tokenizer = processor.tokenizer
    ends = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|user|>"])
    assert end_token(processor, ends) == tokenizer.eos_token_id
    qwen = FAMILIES["qwen2"].make()[1]
    end, pad = qwen.eos_token_id, qwen.pad_token_id
    assert end_token(qwen, [pad, end]) == end
    assert end_token(qwen, [pad]) == pad  # what ends an answer in generation decides
    with pytest.raises(UserError, match="eos_token_id"):
        end_token(qwen, [])


def test_a_response_may_speak_of_an_images_token() -> None:
    tokenizer = FAMILIES["smolvlm2"].make()[1].tokenizer
    image = tokenizer.convert_tokens_to_ids("<image>")
    text = "<think>The <image> shows red.</think>"
    assert image in tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = response_tokens(tokenizer, text, [image])
    assert ids is not None
    assert image not in ids
    assert tokenizer.decode(ids) == text
    word = tiny_tokenizer()("red", add_special_tokens=False)["input_ids"]
    assert response_tokens(tiny_tokenizer(), "red", word) is None  # no special token: no other way


def test_messages_of_a_text_model_are_text() -> None:
    seeing = SimpleNamespace(tokenizer=None)
    content = [{"type": "image", "image": "abc"}, {"type": "text", "text": "Red?"}]
    asked = [{"role": "user", "content": content}]
    assert messages_for(seeing, asked)[0]["content"] == [
        {"type": "image"},
        {"type": "text", "text": "Red?"},
    ]
    assert messages_for(tiny_tokenizer(), asked) == [{"role": "user", "content": "Red?"}]
    two = messages_for(seeing, ASKED, images=2)[0]["content"]
    assert [block["type"] for block in two] == ["image", "image", "text"]
