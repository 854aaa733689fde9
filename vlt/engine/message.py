"""The text of a choice in a reply, in whichever fields the server puts its parts.

The answer is in `content`, as text or as parts. Reasoning that the server separates is in
`reasoning_content` (vLLM, DeepSeek), `reasoning` (vLLM, OpenRouter), `reasoning_details`
(OpenRouter), `thinking` (Ollama), `thinking_blocks` (LiteLLM), or in parts of `content` (Mistral,
Anthropic); it is put back in front of the answer, in `<think>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vlt.thinking import CLOSE, OPEN

_SET_APART = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "reasoning_text",
    "thinking_blocks",
    "reasoning_details",
)
_TEXTS = ("text", "thinking", "reasoning", "content", "summary", "value")
"""Fields in which a part may have its text, in this order."""


def response_of(choice: Mapping[str, Any], *, cut: bool) -> str:
    """Everything that the model wrote; `cut`: it reached the token limit."""
    message = choice.get("message")
    if isinstance(message, str):
        return message
    if not isinstance(message, dict):
        message = {}
    content = message.get("content")
    if isinstance(content, str) and not any(map(message.get, _SET_APART)):
        return content  # the usual case
    if content is None:
        content = choice.get("text")  # as in the plain completions API
    thought, said = _in_content(content)
    thought = thought or next((t for name in _SET_APART if (t := _blocks(message.get(name)))), "")
    return _joined(thought, said, cut)


def refusal_of(choice: Mapping[str, Any]) -> str:
    """The model's refusal, if the server separates it; otherwise empty."""
    message = choice.get("message")
    if not isinstance(message, dict):
        return ""
    parts = message.get("content") if isinstance(message.get("content"), list) else ()
    said = [_text(message.get("refusal"))]
    said += [_text(p.get("refusal")) for p in parts or () if isinstance(p, dict)]
    return " ".join("".join(said).split())


def _joined(thought: str, said: str, cut: bool) -> str:
    if not thought.strip():
        return said
    if CLOSE in said and thought.strip().removeprefix(OPEN).strip() in said:
        return said  # the server sends the thought twice
    thought = thought.removeprefix(OPEN)
    if not said.strip() and cut:
        return OPEN + thought  # cut in the middle of the thought
    if thought.rstrip().endswith(CLOSE):
        thought = thought.rstrip().removesuffix(CLOSE)
    elif CLOSE in thought:  # the server included the answer in the thought
        return OPEN + thought + said
    gap = "" if not said or said[:1].isspace() else "\n\n"
    return f"{OPEN}{thought}{CLOSE}{gap}{said}"


def _in_content(content: Any) -> tuple[str, str]:
    """(thought, answer) of a content in one piece or in parts."""
    if not isinstance(content, list):
        return "", _text(content)
    thoughts, said = [], []
    for part in content:
        if _is_thought(part):
            thoughts.append(_text(part))
        elif not (isinstance(part, dict) and part.get("type") == "refusal"):
            said.append(_text(part))
    return "\n\n".join(t for t in thoughts if t), "".join(said)


def _is_thought(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    kind = str(part.get("type") or "")
    return "think" in kind or "reason" in kind or "thought" in kind or part.get("thought") is True


def _blocks(value: Any) -> str:
    """The text of a thought that is one text, or a list of blocks."""
    if isinstance(value, list):
        return "\n\n".join(text for block in value if (text := _text(block)))
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_text(one) for one in value)
    if isinstance(value, dict):
        return next((text for name in _TEXTS if (text := _text(value.get(name)))), "")
    return ""
