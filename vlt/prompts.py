"""A prompt: a system text and a user text with slots, rendered for one row.

The same rollout prompt must be used to sample, to train and to evaluate, so it lives on the ground
that datagen, train and evaluate stand on. Slots: {question} (with its choices, one a line) and
{caption}. Images stand where the text says <image>, else before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlt.errors import UsageError
from vlt.request import Message

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PLACEHOLDER = "<image>"
SLOTS = ("question", "caption")
# What people write for a slot out of habit: {{question}}, ${question}, { question }, {Question}.
_BRACED = re.compile(r"\$?(?P<open>\{+)\s*(?P<name>[A-Za-z]\w*)\s*\}+")


@dataclass(frozen=True)
class Prompt:
    """Texts with the slots {question} and {caption}; an empty `system` is no system message."""

    user: str
    system: str = ""

    def as_json(self) -> dict[str, str]:
        """What of the prompt belongs to a stage's identity."""
        return {"system": self.system, "user": self.user}


def read_prompt(file: Path, option: str = "--prompt") -> str:
    """The user text in a file. Raises UsageError where there is none that can be read."""
    if not file.is_file():
        raise UsageError(f"{option} {str(file)!r} is not a file; write the user text into one")
    try:
        return file.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{option} {str(file)!r} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{option} {str(file)!r} cannot be read ({error.strerror}); see that you may read it"
        ) from error


def check_slots(prompt: Prompt, *, needs: str | None, takes: tuple[str, ...] = SLOTS) -> None:
    """See that a prompt can be asked: its slots are written as they are read, and rows differ by one.

    Args:
        needs: The slot without which all rows would ask the same; None where their images differ.
        takes: The slots that are filled in; LaTeX's braces (\\boxed{answer}, x_{i}) are text.

    Raises UsageError.
    """
    known = ", ".join(f"{{{name}}}" for name in takes)
    if not prompt.user.strip():
        slot = f", such as {{{needs}}}" if needs else ""
        raise UsageError(f"the prompt is empty; write the text that the model is asked with{slot}")
    for found in _BRACED.finditer(prompt.user):
        whole, name = found[0], found["name"].lower()
        if whole.removeprefix("{").removesuffix("}") in takes:
            continue
        if name in takes:
            raise UsageError(f"the prompt has {whole!r}, which is not filled in; write {{{name}}}")
        # \boxed{answer}, x_{i}, \frac{a}{b}
        latex = re.search(r"[\w\\}^_]\Z", prompt.user[: found.start("open")])
        if name in SLOTS or len(found["open"]) > 1 or not latex:
            raise UsageError(
                f"the prompt has {whole!r}, which is no slot here; the slots are {known}, and other "
                "words stand without braces"
            )
    for found in _BRACED.finditer(prompt.system):
        if found["name"].lower() in SLOTS:
            raise UsageError(
                f"the system text has {found[0]!r}, and no slot is filled in there; put it into "
                "the prompt"
            )
    if needs and f"{{{needs}}}" not in prompt.user:
        raise UsageError(
            f"the prompt has no {{{needs}}}, so all rows would ask the same; put it where the "
            f"{needs} belongs"
        )


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
