"""A conversation as the model reads it: the prompt's text, where a thought begins, where an answer ends.

Generation, SFT and GRPO all build their prompts here, so that training and sampling see the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vlt.errors import UserError

THINK = "<think>"
_OPENED = re.compile(r"<think>\s*\Z")
_NO_THOUGHT = "\n</think>\n\n"
"""Closes the thought that the prompt opened, for a response without one."""


def sees(processor: Any) -> bool:
    """Whether this is a vision-language model's processor, and not a text model's tokenizer."""
    return hasattr(processor, "tokenizer")


def tokenizer_of(processor: Any) -> Any:
    """The processor's tokenizer; a tokenizer itself is returned unchanged."""
    return getattr(processor, "tokenizer", processor)


def blocks(content: Any, images: int = 0) -> list[dict[str, Any]]:
    """A message's content as text and image blocks; the `images` of a string come before it."""
    if isinstance(content, str):
        return [{"type": "image"}] * images + [{"type": "text", "text": content}]
    return [
        {"type": "image"} if b["type"] == "image" else {"type": "text", "text": b["text"]}
        for b in content
    ]


def messages_for(
    processor: Any, messages: Iterable[Mapping[str, Any]], images: int = 0
) -> list[dict[str, Any]]:
    """Messages in the form that the model's template takes: blocks, or text for a text model.

    `images` is the number of images before the user's text, if that is a string.
    """
    made = []
    for message in messages:
        content: Any = blocks(message["content"], images if message["role"] == "user" else 0)
        if not sees(processor):
            content = "".join(block.get("text", "") for block in content)
        made.append({"role": message["role"], "content": content})
    return made


def prompt_text(processor: Any, messages: Sequence[Mapping[str, Any]]) -> str:
    """The complete prompt, as the model's own chat template writes it.

    It is meant to be tokenized without special tokens: if the processor would add a beginning-of-sequence
    token to a text without one (LLaVA-NeXT), the text includes it already, as in transformers' own
    `apply_chat_template(tokenize=True)`. Raises UserError if the template fails.
    """
    from jinja2 import TemplateError

    try:
        text: str = processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
    except (ValueError, TemplateError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"the model's chat template cannot write the prompt: {first}; use an instruct model, or "
            "leave out the system prompt"
        ) from error
    tokenizer = tokenizer_of(processor)
    bos = tokenizer.bos_token
    if sees(processor) and bos and not text.startswith(bos) and _adds_bos(tokenizer):
        return bos + text
    return text


def _adds_bos(tokenizer: Any) -> bool:
    ids = tokenizer("a")["input_ids"]
    return bool(ids) and ids[0] == tokenizer.bos_token_id


def opened_thought(prompt: str) -> str:
    """The end of a prompt that opens the thought which the response continues, else "".

    The templates of R1-Distill, Qwen3-Thinking, Qwen3-VL-Thinking and Qwen3.5 do this ("<think>\\n").
    """
    found = _OPENED.search(prompt)
    return found[0] if found else ""


def put_back(opened: str, response: str) -> str:
    """The whole response: what the model wrote, with the thought's opening from its prompt restored."""
    if not opened or response.lstrip().startswith(THINK):
        return response
    return opened + response


def written_after(opened: str, response: str) -> str:
    """What a model must write for `response` after a prompt that ends with `opened`.

    The inverse of `put_back`. A response without a thought closes the one that was opened.
    """
    if not opened:
        return response
    if response.lstrip().startswith(THINK) or "</think>" in response:
        return begun(opened, response)
    return _NO_THOUGHT + response


def begun(opened: str, response: str) -> str:
    """A response, or the start of one, without the thought's opening, which its prompt ends with."""
    start = response.lstrip()
    if not opened or not start.startswith(THINK):
        return response
    rest, space = start[len(THINK) :], opened[len(THINK) :]
    return rest[len(space) :] if space and rest.startswith(space) else rest


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer: those of the generation config, and the tokenizer's own."""
    found = model.generation_config.eos_token_id
    ends = {*([found] if isinstance(found, int) else found or []), tokenizer.eos_token_id}
    return sorted(t for t in ends if t is not None)


def end_token(processor: Any, ends: Sequence[int]) -> int:
    """The token of `ends` that the template puts after an answer, else the tokenizer's own.

    GLM-4.xV's template puts none there: a model trained on its text alone would never stop.
    Raises UserError if the model has no end token at all.
    """
    tokenizer = tokenizer_of(processor)
    said = "ANSWER"
    turns = messages_for(
        processor, [{"role": "user", "content": "q"}, {"role": "assistant", "content": said}]
    )
    text = processor.apply_chat_template(turns, tokenize=False)
    after = tokenizer(text.rpartition(said)[2].lstrip(), add_special_tokens=False)["input_ids"]
    if after and after[0] in ends:
        return int(after[0])
    if tokenizer.eos_token_id in ends:
        return int(tokenizer.eos_token_id)
    if not ends:
        raise UserError("the model has no token that ends an answer; set eos_token_id")
    return int(ends[0])


def placeholders(config: Any) -> list[int]:
    """Placeholder tokens for images, videos and sounds, which occur only in prompts."""
    names = ("image_token_id", "video_token_id", "audio_token_id", "image_token_index")
    found = {token for name in names if isinstance(token := getattr(config, name, None), int)}
    return sorted(found)


def response_tokens(tokenizer: Any, text: str, never: Sequence[int]) -> list[int] | None:
    """The tokens of a model's response; None if it cannot be encoded without one of `never`.

    A response may mention "<image>": then special tokens are encoded as plain text.
    """
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not set(never).intersection(ids):
        return ids
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return None if set(never).intersection(ids) else ids


def placeholder_texts(processor: Any) -> list[str]:
    """The placeholders for images, videos and sounds in a prompt's text; none for a text model."""
    names = ("image_token", "boi_token", "video_token", "audio_token")
    found = {str(text) for name in names if (text := getattr(processor, name, None))}
    return sorted(found) if sees(processor) else []
