"""A prompt: a system prompt and a user prompt with slots, rendered for one row.

The same rollout prompt must be used to sample, to train and to evaluate, so it is defined below datagen,
train and evaluation. Slots: {question} (with its choices, one per line) and {caption}. Images are placed
at <image> in the text, else before it. A user's function may replace the text: see `own_prompt`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vlt.choice_order import choices_shown, shown
from vlt.errors import UsageError, UserError
from vlt.plugins import Plugin, blame, entry_points, is_path, of_function, resolve
from vlt.request import Message

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PLACEHOLDER = "<image>"
SLOTS = ("question", "caption")
# Common ways to write a slot in other systems: {{question}}, ${question}, { question }, {Question}.
_BRACED = re.compile(r"\$?(?P<open>\{+)\s*(?P<name>[A-Za-z]\w*)\s*\}+")


@dataclass(frozen=True)
class Prompt:
    """Texts with the slots {question} and {caption}; with an empty `system` there is no system message."""

    user: str
    system: str = ""
    own: Plugin | None = field(default=None, hash=False)
    """A user's function that replaces the user prompt (see `own_prompt`)."""
    by_source: Mapping[str, Prompt] = field(default_factory=dict, hash=False)
    """Different prompts for the rows of these sources (by their column `source`)."""

    def __post_init__(self) -> None:
        if nested := [name for name, prompt in self.by_source.items() if prompt.by_source]:
            raise UsageError(
                f"the prompt for the source {nested[0]!r} has prompts by source itself; move them one "
                "level up"
            )

    def of(self, row: Mapping[str, Any]) -> Prompt:
        """The prompt for this row."""
        return self.by_source.get(row.get("source") or "", self) if self.by_source else self

    @property
    def every(self) -> list[Prompt]:
        """This prompt, and those of single sources."""
        return [self, *self.by_source.values()]

    def as_json(self) -> dict[str, Any]:
        """The part of the prompt that belongs to a stage's identity."""
        said = self.own.identity if self.own else {"user": self.user}
        found: dict[str, Any] = {"system": self.system, **said}
        if self.by_source:
            found["by_source"] = {name: p.as_json() for name, p in sorted(self.by_source.items())}
        return found

    def reads(self, columns: Sequence[str], every: Sequence[str]) -> list[str]:
        """The columns of a row that it needs: `columns`, or `every` one if a function takes the row."""
        if any(prompt.own for prompt in self.every):
            return [*every]
        return [*columns, "source"] if self.by_source else [*columns]


class CannotAsk(Exception):
    """A user's prompt raised for a row, which is left out with this message as its reason."""


def own_prompt(function: str | Callable[..., Any], system: str = "") -> Prompt:
    """A user's function as a prompt: it takes a row (a dict) and returns a user prompt, or messages.

        def ask(row):                               # mine.py; named as mine.py:ask
            return f"{row['question']} Answer in one word."

    Images are placed at <image> in a text, else before it. Messages are {"role": ..., "content": text or
    blocks}; {"type": "image"} is replaced by the next image. It must return the same for the same row. Raises
    UsageError if there is no such function.
    """
    plugin = of_function(function, "prompt") if callable(function) else resolve(function, "prompt")
    return Prompt(user=plugin.source, system=system, own=plugin)


def load_prompt(name: str, system: str = "", known: Mapping[str, Prompt] | None = None) -> Prompt:
    """The prompt that `--prompt` names: a known one, file.py:function, or a file with the user prompt."""
    if known and name in known:
        return replace(known[name], system=system or known[name].system)
    if is_path(name) or (name in entry_points("prompt") and not Path(name).is_file()):
        return own_prompt(name, system)
    return Prompt(read_prompt(Path(name)), system)


def read_prompt(file: Path, option: str = "--prompt") -> str:
    """The user prompt in a file. Raises UsageError if it cannot be read."""
    if not file.is_file():
        raise UsageError(f"{option} {str(file)!r} is not a file; give a file with the user prompt")
    try:
        return file.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{option} {str(file)!r} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{option} {str(file)!r} cannot be read ({error.strerror}); check its permissions"
        ) from error


def check_slots(prompt: Prompt, *, needs: str | None, takes: tuple[str, ...] = SLOTS) -> None:
    """Check a prompt: its slots must be spelled correctly, and the required one present.

    Args:
        needs: The slot without which all rows would ask the same; None if their images differ.
        takes: The slots that are filled in; LaTeX's braces (\\boxed{answer}, x_{i}) are text.

    Raises UsageError if it is empty, a slot is misspelled or unknown, or the required one is missing.
    """
    for name, other in prompt.by_source.items():
        try:
            check_slots(other, needs=needs, takes=takes)
        except UsageError as error:
            raise UsageError(f"by_source {name}: {error}") from None
    if prompt.own:
        return
    known = ", ".join(f"{{{name}}}" for name in takes)
    if not prompt.user.strip():
        slot = f", such as {{{needs}}}" if needs else ""
        raise UsageError(f"the prompt is empty; write the text that the model gets{slot}")
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
                f"the prompt has {whole!r}, which is not a slot here; the slots are {known}; write other "
                "words without braces"
            )
    for found in _BRACED.finditer(prompt.system):
        if found["name"].lower() in SLOTS:
            raise UsageError(
                f"the system prompt has {found[0]!r}, but slots are not filled in there; move it to the "
                "user prompt"
            )
    if needs and f"{{{needs}}}" not in prompt.user:
        raise UsageError(
            f"the prompt has no {{{needs}}}, so all rows would ask the same; put it where the "
            f"{needs} belongs"
        )


def question_text(row: Mapping[str, Any]) -> str:
    """The question with its choices, one per line, lettered from A, in the order shown to the sample."""
    choices = choices_shown(row)
    if not choices:
        return str(row["question"])
    lines = [f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
    return "\n".join([row["question"], "Choices:", *lines])


def plain_messages(prompt: Prompt, row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The messages as texts, with <image> for each image."""
    prompt = prompt.of(row)
    if not prompt.own:
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        return [*system, {"role": "user", "content": render_text(prompt, row)}]
    flat = []
    for message in render(prompt, row, images=True):
        blocks = message["content"]
        if not isinstance(blocks, str):
            blocks = "".join(b["text"] if b["type"] == "text" else PLACEHOLDER for b in blocks)
        flat.append({"role": message["role"], "content": blocks})
    return flat


def render_text(prompt: Prompt, row: Mapping[str, Any]) -> str:
    """The user prompt; filled in one pass, so that a slot's name inside a caption stays text."""
    prompt = prompt.of(row)
    slots = {"question": question_text(row), "caption": row.get("caption") or ""}
    return re.sub(r"\{(question|caption)\}", lambda m: slots[m[1]], prompt.user)


def render(prompt: Prompt, row: Mapping[str, Any], *, images: bool) -> list[Message]:
    """Messages for an engine; without `images` the content is plain text.

    Raises CannotAsk if a user's prompt raises.
    """
    prompt = prompt.of(row)
    said = _said(prompt.own, row) if prompt.own else render_text(prompt, row)
    shown = list(row["images"]) if images else []
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    if isinstance(said, str):
        return [*system, {"role": "user", "content": _content(said, shown)}]
    if any(message["role"] == "system" for message in said):
        system = []
    return [*system, *_with_images(said, shown)]


def _content(text: str, images: list[str]) -> Any:
    return interleave(text, images) if images else text.replace(PLACEHOLDER, "").strip()


def _said(plugin: Plugin, row: Mapping[str, Any]) -> str | list[Message]:
    """What a user's prompt returns for a row; raises UserError for an invalid value."""
    try:
        said = plugin.object(dict(shown(row)))
    except (Exception, SystemExit) as error:
        code = getattr(inspect.unwrap(plugin.object), "__code__", None)
        file = code.co_filename if code else None
        raise CannotAsk(f"the prompt {plugin.name} raised {blame(error, file)}") from error
    good = isinstance(said, str) and bool(said.strip())
    if isinstance(said, list | tuple):
        good = bool(said) and all(
            isinstance(message, Mapping) and _is_message(message) for message in said
        )
    if not good:
        looks = " ".join(repr(said).split())
        raise UserError(
            f"the prompt {plugin.source} returned {looks[:60]} (of type {type(said).__name__}); return a "
            'text, or a list of messages such as {"role": "user", "content": "..."}'
        )
    return said if isinstance(said, str) else [dict(message) for message in said]


def _is_message(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    if message.get("role") not in ("system", "user", "assistant") or set(message) != {
        "role",
        "content",
    }:
        return False
    if isinstance(content, list):
        return all(
            isinstance(block, Mapping)
            and (block.get("type") == "image" or isinstance(block.get("text"), str))
            for block in content
        )
    return isinstance(content, str)


def _with_images(messages: list[Message], images: list[str]) -> list[Message]:
    """Images at their blocks and placeholders; without any of these, in the last user message."""
    texts = [m["content"] for m in messages if isinstance(m["content"], str)]
    blocks = [b for m in messages if isinstance(m["content"], list) for b in m["content"]]
    placed = any(b.get("type") == "image" for b in blocks) or any(PLACEHOLDER in t for t in texts)
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    left, made = iter(images), []
    for place, message in enumerate(messages):
        content = message["content"]
        if not placed and images and users and place == users[-1]:
            text = content if isinstance(content, str) else "\n".join(b["text"] for b in content)
            content = interleave(text, images)
        elif isinstance(content, str):
            here = [
                image for _, image in zip(range(content.count(PLACEHOLDER)), left, strict=False)
            ]
            content = _content(content, here)
        else:
            pairs = [(b, next(left, None) if b.get("type") == "image" else None) for b in content]
            content = [
                {"type": "image", "image": image} if image else {"type": "text", "text": b["text"]}
                for b, image in pairs
                if image or b.get("type") != "image"
            ]
            if not images:
                content = "\n".join(block["text"] for block in content)
        made.append({"role": message["role"], "content": content})
    return made


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
"""Image placeholders (or parts of them) of the model families in use."""


def image_token(row: Mapping[str, Any]) -> str | None:
    """Why a trainer could not use the row: its question, a choice or its response contains a model's image
    placeholder, and the images would be miscounted. None if it can.

    For exports, for which the model is unknown; a training uses the model's own tokenizer.
    """
    texts = [row.get("question"), *(row.get("choices") or []), row.get("response")]
    for text in texts:
        if found := IMAGE_TOKENS.search(text or ""):
            return f"its text holds {found[0]}, which stands for an image to a model"
    return None
