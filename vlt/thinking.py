"""Where a model's thought begins and ends in what it wrote.

Templates of reasoning models (DeepSeek-R1, QwQ, Qwen3 Thinking) end the prompt with `<think>`, so
the response starts inside a thought and holds only the closing tag. Everything behind this point
(training text, exports, the format check, word counts, the grader) reads whole responses: the tag
is restored where answers become rows, so answers that older versions recorded are mended too.
"""

from __future__ import annotations

import re

OPEN, CLOSE = "<think>", "</think>"
# Tags of other families; what they hold is a thought as well.
_TAGS = (
    (OPEN, CLOSE),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
)
_OPENS = re.compile("|".join(re.escape(open) for open, _ in _TAGS), re.I)
_CLOSES = re.compile("|".join(re.escape(close) for _, close in _TAGS), re.I)
# gpt-oss: channels, where a server leaves them in the text.
_ANALYSIS = "<|channel|>analysis<|message|>"
_FINAL = re.compile(r"<\|channel\|>final[^<]{0,40}<\|message\|>")
_CHANNEL_ENDS = re.compile(r"<\|(?:end|return|call)\|>\s*\Z")


def starts_inside(response: str) -> bool:
    """Whether it closes a thought that it has not opened."""
    close = response.find(CLOSE)
    return close >= 0 and response.find(OPEN, 0, close) < 0


def with_opening_tag(response: str, *, opened: bool = False) -> str:
    """The response with the opening tag that the prompt had taken from it.

    `opened` says that the model's prompts are known to end inside a thought: then a response with
    neither tag, cut before the thought's end, is one as well.
    """
    if starts_inside(response) or (opened and OPEN not in response and CLOSE not in response):
        return OPEN + response
    return response


def after_thought(response: str) -> str:
    """What follows the thought, without it; empty where the thought was never ended."""
    if _ANALYSIS in response or _FINAL.search(response):
        finals = list(_FINAL.finditer(response))
        said = response[finals[-1].end() :] if finals else ""
        return _CHANNEL_ENDS.sub("", said).strip()
    closes = list(_CLOSES.finditer(response))
    rest = response[closes[-1].end() :] if closes else response
    if opened := _OPENS.search(rest):  # once more, or for the first time, and never closed
        rest = rest[: opened.start()]
    return rest.strip()
