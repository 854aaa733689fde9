"""Tags, boxes and JSON: the blocks of a response that hold answers. Linear in its length."""

from __future__ import annotations

import json
import re

_TAG = re.compile(r"<(/?)answer\s*>", re.I)
_BOX = re.compile(r"\\(?:boxed|fbox) *")
_BRACE = re.compile(r"\\.|[{}]", re.S)
_KEYS = ("answer", "final_answer", "finalanswer", "final answer", "result", "prediction", "答案")
_BESIDE = ("reasoning", "explanation", "thought", "thoughts", "steps", "rationale", "confidence", "analysis",
           "think", "solution", "unit", "question")  # fmt: skip


Block = tuple[int, int, str]
"""Begin, end and content of a block."""


def tagged(text: str) -> list[Block]:
    """`<answer>` blocks. A tag inside a block is part of it; an unclosed block runs to the end."""
    blocks: list[Block] = []
    if "<" not in text:
        return blocks
    begin = start = -1
    for match in _TAG.finditer(text):
        if not match.group(1):
            if begin < 0 or not text[start : match.start()].strip():
                begin, start = match.span()
        elif begin >= 0:
            blocks.append((begin, match.end(), text[start : match.start()]))
            begin = -1
    if begin >= 0:
        blocks.append((begin, len(text), text[start:]))
    return blocks


def boxes_in(text: str) -> list[Block]:
    """Outermost `\\\\boxed{}` blocks, braces balanced."""
    blocks: list[Block] = []
    at = 0
    while match := _BOX.search(text, at):
        start = match.end()
        if text[start : start + 1] == "{":
            close = _closing(text, start)
            inner, at = text[start + 1 : close], min(close + 1, len(text))
        else:
            word = re.compile(r"\S*").match(text, start)
            inner, at = (word.group().rstrip("$.,"), word.end()) if word else ("", start)
            at = max(at, match.end())
        blocks.append((match.start(), at, inner))
    return blocks


def _closing(text: str, open_at: int) -> int:
    """The index of the brace that closes the one at `open_at`, or the text's end."""
    depth = 0
    for match in _BRACE.finditer(text, open_at):
        token = match.group()
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if depth == 0:
                return match.start()
    return len(text)


_FENCE = re.compile(r"```[A-Za-z]*\s*\n?(.*?)\n?\s*```", re.S)


def json_answer(text: str) -> str | None:
    """The answer in a JSON object, fenced or not, with exactly one answer; else None."""
    fence = _FENCE.fullmatch(text)
    body = (fence.group(1) if fence else text).strip()
    if not (body.startswith("{") and body.endswith("}")) or len(body) > 20_000:
        return None
    try:
        pairs = json.loads(body, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    names = [str(pair[0]).strip().casefold() for pair in pairs]
    answers = [value for name, (_, value) in zip(names, pairs, strict=True) if name in _KEYS]
    if len(answers) != 1 or any(name not in _KEYS + _BESIDE for name in names):
        return None
    return _spelled(answers[0])


def _spelled(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and value and all(isinstance(v, str | int | float) for v in value):
        return ", ".join(str(v) for v in value)
    return None
