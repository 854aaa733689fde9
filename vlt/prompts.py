"""A prompt: a system text and a user text with slots, rendered for one row.

The same rollout prompt must be used to sample, to train and to evaluate, so it lives on the ground
that datagen, train and evaluate stand on. Slots: {question} (with its choices, one a line) and
{caption}. Images stand where the text says <image>, else before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlt.request import Message

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PLACEHOLDER = "<image>"


@dataclass(frozen=True)
class Prompt:
    """Texts with the slots {question} and {caption}; an empty `system` is no system message."""

    user: str
    system: str = ""

    def as_json(self) -> dict[str, str]:
        """What of the prompt belongs to a stage's identity."""
        return {"system": self.system, "user": self.user}


def question_text(row: Mapping[str, Any]) -> str:
    """The question with its choices, one a line, lettered from A."""
    choices = row.get("choices")
    if not choices:
        return str(row["question"])
    lines = [f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
    return "\n".join([row["question"], "Choices:", *lines])


def render_text(prompt: Prompt, row: Mapping[str, Any]) -> str:
    """The user text; filled in one pass, so a slot's name inside a caption is only text."""
    slots = {"question": question_text(row), "caption": row.get("caption") or ""}
    return re.sub(r"\{(question|caption)\}", lambda m: slots[m[1]], prompt.user)


def render(prompt: Prompt, row: Mapping[str, Any], *, images: bool) -> list[Message]:
    """Messages for an engine; without `images` the content is plain text."""
    text = render_text(prompt, row)
    content: Any = text.replace(PLACEHOLDER, "").strip()
    if images and row["images"]:
        content = interleave(text, row["images"])
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": content}]


def interleave(text: str, images: list[str]) -> list[dict[str, str]]:
    """Content blocks: the images (sha256) at their placeholders, or all of them first."""
    pieces = text.split(PLACEHOLDER)
    if len(pieces) != len(images) + 1:
        pieces = [""] * len(images) + [text.replace(PLACEHOLDER, "")]
    blocks: list[dict[str, str]] = []
    for piece, image in zip(pieces, [*images, None], strict=True):
        if piece.strip():
            blocks.append({"type": "text", "text": piece.strip()})
        if image is not None:
            blocks.append({"type": "image", "image": image})
    return blocks


IMAGE_TOKENS = re.compile(
    r"<\|(?:image|video|audio|vision)_?(?:pad|start|end|\d+)?\|>"  # Qwen-VL, GLM-V, Llama, Phi
    r"|<\|(?:begin|end)_of_(?:image|video|audio)\|>"
    r"|<(?:image|audio)_soft_token>|<(?:start|end)_of_(?:image|audio)>"  # Gemma
    r"|<IMG_CONTEXT>|<image_pad>|<fake_token_around_image>|<im_patch>|\[IMG(?:_BREAK|_END)?\]"
)
"""What stands for an image (or a part of one) to one of the families of models in use."""


def image_token(row: Mapping[str, Any]) -> str | None:
    """Why a trainer could not take the row: its question, a choice or its response holds what stands for
    an image to a model, and the images would be miscounted. None where it can.

    For exports, where the model is not known; a training asks the model's own tokenizer.
    """
    texts = [row.get("question"), *(row.get("choices") or []), row.get("response")]
    for text in texts:
        if found := IMAGE_TOKENS.search(text or ""):
            return f"its text holds {found[0]}, which stands for an image to a model"
    return None
