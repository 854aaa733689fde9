"""Questions and gold answers out of conversations, as instruction data write them.

Known forms: MathV360K (lines "Hint: ...", "Question: ...", "Choices:", "(A) ...", answered by "The
answer is B"), the Cauldron ("Question: ...", "Choices:", "A. ...", "Answer with the letter.", answered
by "Answer: B"), and chat messages whose answer stands in <answer> tags or a box.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from vlt.datagen.sources.record import Row, Unreadable, raw_text

USER, ASSISTANT = ("human", "user"), ("gpt", "assistant")
_HINT = re.compile(r"\A\s*Hint:[^\n]*(?:\n|\Z)")
_QUESTION = re.compile(r"\A\s*Question:\s*", re.I)
_CHOICES = re.compile(r"\n\s*(?:Choices|Options):[ \t]*", re.I)
_LETTER = r"[ \t]*(?:\(([A-Z])\)|([A-Z])[.:])[ \t]+"
_EACH_ON_A_LINE = re.compile(r"(?:\A|\n)" + _LETTER)
_IN_A_ROW = re.compile(r"(?:\A|(?<=\s))" + _LETTER)
_LETTER_PLEASE = re.compile(
    r"\n\s*(?:Answer with the (?:option's )?letter[^\n]*|Give a very brief answer\.?|"
    r"Answer the question [^\n]*)\s*\Z",
    re.I,
)
_ANSWER = re.compile(r"\A\s*(?:the (?:correct )?answer is\b\s*:?|answer\s*:)\s*", re.I)


def conversation_rows(row: Row) -> Iterator[Row | Unreadable]:
    """One row with question, choices and answer for each pair of turns; the images go with each."""
    column = "conversations" if "conversations" in row else "messages"
    turns = row.get(column)
    rest = {k: v for k, v in row.items() if k != column}
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        yield Unreadable(raw_text(row), "no conversation")
        return
    said = [(str(_of(turn, "from", "role")), _of(turn, "value", "content")) for turn in turns]
    pairs = [
        (asked, answered)
        for (one, asked), (other, answered) in pairwise(said)
        if one in USER and other in ASSISTANT
    ]
    if not pairs:
        yield Unreadable(raw_text(row), "conversation without a question and its answer")
    for asked, answered in pairs:
        question, choices = taken_apart(str(asked))
        yield {
            **rest,
            "question": question,
            "choices": choices,
            "answer": stated_answer(str(answered)),
        }


def taken_apart(text: str) -> tuple[str, list[str]]:
    """(question, choices) of what the user said."""
    text = text.replace("<image>", "").strip()
    text = _QUESTION.sub("", _HINT.sub("", text), count=1)
    text = _LETTER_PLEASE.sub("", text).strip()
    head, *tail = _CHOICES.split(text, maxsplit=1)
    choices = _lettered(tail[0]) if tail else []
    return (head.strip(), choices) if choices else (text, [])


def stated_answer(text: str) -> str:
    """The gold in the assistant's words; tags and boxes are left for `read_record`."""
    if "<answer>" in text or "\\boxed" in text:
        return text
    stated = _ANSWER.sub("", text, count=1).strip()
    if re.fullmatch(r"\(?[A-Z]\)?\.", stated):
        return stated.strip("().")
    return stated[:-1] if stated.endswith(".") and not stated[:-1].count(".") else stated


def _lettered(text: str) -> list[str]:
    """The choices of a block, if its letters run A, B, C, ... ; else none."""
    for form in (_EACH_ON_A_LINE, _IN_A_ROW):
        wanted: list[re.Match[str]] = []
        for mark in form.finditer(text):
            if (mark[1] or mark[2]) == chr(ord("A") + len(wanted)):
                wanted.append(mark)
        if len(wanted) >= 2 and not text[: wanted[0].start()].strip():
            ends = [mark.start() for mark in wanted[1:]] + [len(text)]
            return [text[m.end() : end].strip() for m, end in zip(wanted, ends, strict=True)]
    return []


def _of(turn: Mapping[str, Any], *names: str) -> Any:
    return next((turn[name] for name in names if turn.get(name) is not None), "")
