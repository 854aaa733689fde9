"""Questions and gold answers from conversations, as instruction data has them.

Known forms: MathV360K (lines "Hint: ...", "Question: ...", "Choices:", "(A) ...", answered by "The
answer is B"), the Cauldron ("Question: ...", "Choices:", "A. ...", "Answer with the letter.", answered
by "Answer: B"), and chat messages whose answer is in <answer> tags or a box. Turns are objects
(from and value, role and content, user and assistant) or pairs; content is text or OpenAI's parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vlt.datagen.sources.row import Row, Unreadable, raw_text
from vlt.grade.extract import extract
from vlt.prompts import PLACEHOLDER

MOST_IMAGES = 100
"""Maximum placeholders of one turn for which they are moved."""
USER, ASSISTANT = ("human", "user"), ("gpt", "assistant", "model", "bot", "chatgpt")
COLUMNS = (
    "conversations", "messages", "conversation", "texts", "dialogue", "chat", "prompt", "input",
)  # fmt: skip
"""Names of columns that may contain a conversation, the likeliest first."""
_HINT = re.compile(r"\A\s*Hint:[^\n]*(?:\n|\Z)")
_QUESTION = re.compile(r"\A\s*Question:\s*", re.I)
_CHOICES = re.compile(r"\n\s{0,9}(?:Choices|Options):[ \t]*", re.I)
_LETTER = r"[ \t]*(?:\(([A-Z])\)|([A-Z])[.:])[ \t]+"
_EACH_ON_A_LINE = re.compile(r"(?:\A|\n)" + _LETTER)
_IN_A_ROW = re.compile(r"(?:\A|(?<=\s))" + _LETTER)
_LETTER_PLEASE = re.compile(
    r"\n\s{0,9}(?:Answer with the (?:option's )?letter[^\n]*|Give a very brief answer\.?|"
    r"Answer the question [^\n]*)\s*\Z",
    re.I,
)
_ANSWER = re.compile(r"\A\s*(?:the (?:correct )?answer is\b\s*:?|answer\s*:)\s*", re.I)
_STATES = re.compile(r"\banswer\b(?:\s*[:：]|\s+is\b)", re.I)
_WRITTEN = re.compile(r"(?:Picture \d+:\s*)?<img>([^<\n]+)</img>\s?")
_AT_AN_END = re.compile(r"\A(?:\s*<image>)+|(?:<image>\s*)+\Z")


@dataclass
class Turn:
    """One turn, with the images inside its parts."""

    role: str
    text: str
    images: list[Any]


def conversation_rows(row: Row) -> Iterator[Row | Unreadable]:
    """One row with question, choices and answer for each pair of turns; each gets all the images."""
    column = "conversations" if "conversations" in row else "messages"
    turns = turns_of(row.get(column))
    rest = {k: v for k, v in row.items() if k != column}
    if turns is None:
        yield Unreadable(raw_text(row), "no conversation")
        return
    pairs = _pairs(turns)
    if not pairs:
        yield Unreadable(raw_text(row), "conversation without a question and its answer")
    for asked, answered in pairs:
        question, choices = question_parts(asked.text)
        yield {
            **rest,
            "question": question,
            "choices": choices,
            "answer": stated_answer(answered.text),
        }


def asked_rows(
    row: Row, column: str, images: str | None, answer: str | None
) -> Iterator[Row | Unreadable]:
    """The same for data of any origin: each question with the images that it is about.

    `images` and `answer` are the row's own columns for these, if it has them: then a conversation
    may end with a question. The assistant's reply goes to `response`. A turn with placeholders is
    about its own images, one without about all images shown before.
    """
    turns = turns_of(row.get(column))
    rest = {k: v for k, v in row.items() if k not in (column, images)}
    if turns is None:
        yield Unreadable(raw_text(row), f"no conversation (in {column!r})")
        return
    given = row.get(images) if images else None
    shown = _shown(turns, given if isinstance(given, list) else [] if given is None else [given])
    rest |= {"system": turns[0].text} if turns and turns[0].role == "system" else {}
    pairs = _exchanges(turns)
    if not pairs and answer and (last := [t for t in turns if t.role in USER][-1:]):
        pairs = [(last[0], Turn("assistant", "", []))]
    if not pairs:
        yield Unreadable(raw_text(row), "conversation without a question and its answer")
    for asked, answered in pairs:
        question, choices = question_parts(_needed_markers(asked.text), keep_markers=True)
        made = {**rest, "question": question, "images": shown[id(asked)]}
        made |= {"choices": choices} if choices or "choices" not in rest else {}
        made |= {"answer": _gold(answered.text)} if answer is None else {}
        yield made | ({"response": answered.text} if answered.text else {})


def turns_of(value: Any) -> list[Turn] | None:
    """The turns of a cell; None if it is not a conversation."""
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if not isinstance(value, list) or not value:
        return None
    turns: list[Turn] = []
    for turn in value:
        if isinstance(turn, Mapping) and ("user" in turn and "assistant" in turn):
            turns += [_turn("user", turn["user"]), _turn("assistant", turn["assistant"])]
        elif isinstance(turn, Mapping):
            role = str(_of(turn, "from", "role")).lower()
            turns.append(_turn(role, _of(turn, "value", "content")))
        elif isinstance(turn, list | tuple) and len(turn) == 2:
            turns += [_turn("user", turn[0]), _turn("assistant", turn[1])]
        else:
            return None
    return turns


def question_parts(text: str, *, keep_markers: bool = False) -> tuple[str, list[str]]:
    """(question, choices) of a user's turn."""
    text = (text if keep_markers else text.replace(PLACEHOLDER, "")).strip()
    text = _QUESTION.sub("", _HINT.sub("", text), count=1)
    text = _LETTER_PLEASE.sub("", text).strip()
    head, *tail = _CHOICES.split(text, maxsplit=1)
    choices = _lettered(tail[0]) if tail else []
    return (head.strip(), choices) if choices else (text, [])


def stated_answer(text: str) -> str:
    """The gold answer in the assistant's reply; tags and boxes are left for `read_record`."""
    if "<answer>" in text or "\\boxed" in text:
        return text
    stated = _ANSWER.sub("", text, count=1).strip()
    if re.fullmatch(r"\(?[A-Z]\)?\.", stated):
        return stated.strip("().")
    return stated[:-1] if stated.endswith(".") and not stated[:-1].count(".") else stated


def _turn(role: str, content: Any) -> Turn:
    """A turn of text, or of OpenAI's parts: an image among them becomes a placeholder."""
    if not isinstance(content, list | tuple):
        return _written(role, str(content))
    texts: list[str] = []
    images: list[Any] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, Mapping) and "image" in str(part.get("type", "image")):
            texts.append(PLACEHOLDER)
            held = _of(part, "image_url", "image", "url", "path", "source", "data")
            images += [held] if held != "" else []
    return Turn(role, "".join(texts), images)


def _written(role: str, text: str) -> Turn:
    """A turn of text; in Qwen-VL's data it may contain the path of an image."""
    paths = [mark[1] for mark in _WRITTEN.finditer(text)]
    return Turn(role, _WRITTEN.sub(PLACEHOLDER, text) if paths else text, list(paths))


def _gold(text: str) -> str:
    """The stated answer; from a longer text, the answer extracted as by the grader."""
    stated = stated_answer(text)
    long = stated == text or len(stated) > 100 or "\n" in stated
    if long and "<answer>" not in text and "\\boxed" not in text and _STATES.search(text):
        return extract(text) or stated
    return stated


def _shown(turns: list[Turn], given: list[Any]) -> dict[int, list[Any]]:
    """The images of each turn (by its `id`): its own, else all shown before it."""
    marked = sum(turn.text.count(PLACEHOLDER) for turn in turns)
    held = sum(len(turn.images) for turn in turns)
    each = bool(marked) and (marked == held or marked == len(given))
    left, before = list(given), list[Any]()
    found: dict[int, list[Any]] = {}
    for turn in turns:
        count = turn.text.count(PLACEHOLDER)
        own = turn.images
        if each and not held:
            own, left = left[:count], left[count:]
        before += own
        found[id(turn)] = own if own else list(before)
    if not each:
        everything = [*given, *(image for turn in turns for image in turn.images)]
        return dict.fromkeys(found, everything)
    return found


def _needed_markers(text: str) -> str:
    """Without placeholders at the start or end of the text, where images go anyway."""
    if text.count(PLACEHOLDER) > MOST_IMAGES:
        return text
    bare = _AT_AN_END.sub("", text).strip()
    return text if PLACEHOLDER in bare else bare


def _pairs(turns: list[Turn]) -> list[tuple[Turn, Turn]]:
    return [
        (one, other)
        for one, other in pairwise(turns)
        if one.role in USER and other.role in ASSISTANT
    ]


def _exchanges(turns: list[Turn]) -> list[tuple[Turn, Turn]]:
    """Each question with the assistant's last reply to it, skipping tool calls and results."""
    found: list[tuple[Turn, Turn]] = []
    asked: Turn | None = None
    for turn in turns:
        if turn.role in USER:
            asked = turn
        elif turn.role in ASSISTANT and asked:
            if found and found[-1][0] is asked:
                found.pop()
            found.append((asked, turn))
    return found


def _lettered(text: str) -> list[str]:
    """The choices of a block, if they are lettered A, B, C, ...; else none."""
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
