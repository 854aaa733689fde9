"""Where a model's thought begins and ends in its response.

Templates of reasoning models (DeepSeek-R1, QwQ, Qwen3 Thinking) end the prompt with `<think>`, so
the response starts inside a thought and has only the closing tag. Everything downstream (training text,
exports, the format check, word counts, the grader) reads complete responses: the tag is restored when
answers become rows, so that answers recorded by older versions are corrected too.
"""

from __future__ import annotations

import re

OPEN, CLOSE = "<think>", "</think>"
# Tags of other model families for the same thing.
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
# gpt-oss: channels, if a server leaves them in the text.
_ANALYSIS = "<|channel|>analysis<|message|>"
_FINAL = re.compile(r"<\|channel\|>final[^<]{0,40}<\|message\|>")
_CHANNEL_ENDS = re.compile(r"<\|(?:end|return|call)\|>\s*\Z")


def starts_inside(response: str) -> bool:
    """Whether it closes a thought that it has not opened."""
    close = response.find(CLOSE)
    return close >= 0 and response.find(OPEN, 0, close) < 0


def with_opening_tag(response: str, *, opened: bool = False) -> str:
    """The response with the opening tag that was part of the prompt.

    `opened`: the model's prompts are known to end inside a thought; then a response with neither tag, cut
    before the thought's end, gets it as well.
    """
    if starts_inside(response) or (opened and OPEN not in response and CLOSE not in response):
        return OPEN + response
    return response


def after_thought(response: str) -> str:
    """The text after the thought; empty if the thought never ends."""
    if _ANALYSIS in response or _FINAL.search(response):
        finals = list(_FINAL.finditer(response))
        said = response[finals[-1].end() :] if finals else ""
        return _CHANNEL_ENDS.sub("", said).strip()
    closes = list(_CLOSES.finditer(response))
    rest = response[closes[-1].end() :] if closes else response
    if opened := _OPENS.search(rest):  # a thought that is opened here and never closed
        rest = rest[: opened.start()]
    return rest.strip()
