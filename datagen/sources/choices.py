"""Choices in the forms that datasets use: lists, dicts, one text, with letters, inside the question."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from vlt.datagen.sources.row import MAX_TEXT, BadRow
from vlt.prompts import LETTERS

_OPEN, _CLOSE = r"(?:[(\[（]\s*)", r"(?:\s*[)\]）])"
_MARK = rf"(?:{_OPEN}([A-Za-z]){_CLOSE}[.:]?|([A-Za-z])(?:{_CLOSE}|[.:．：、]))"
"""(A) [A] （A） A) A. A: A、"""
_LABEL = re.compile(rf"\s{{0,9}}{_MARK}\s{{0,9}}")
_EACH_ON_A_LINE = re.compile(rf"(?:\A|\n)[ \t]*{_MARK}[ \t]*")
_AFTER_A_SEPARATOR = re.compile(rf"(?:\A|[;；|,，\n])\s{{0,4}}{_MARK}[ \t]*")
_IN_A_ROW = re.compile(
    rf"(?:\A|(?<=\s)|(?<=[;|,.?:])|(?<=[^\x00-\x7f]))[ \t]{{0,4}}{_MARK}[ \t]{{0,9}}"
)
_FORMS = (_EACH_ON_A_LINE, _AFTER_A_SEPARATOR, _IN_A_ROW)
_HEADER = re.compile(
    r"[\s:：]{0,9}\b(?:the\s+)?(?:answer\s+)?(?:choices|options)(?:\s+are)?\b[ \t]{0,9}[:：]?\s{0,9}\Z"
    r"|\s{0,9}(?:选项|选择)[:：]\s{0,9}\Z",
    re.I,
)
_PLEASE = re.compile(
    r"\n[ \t]{0,9}(?:please[ \t]{1,9})?"
    r"(?:answer|select|choose|respond|give|pick|reply|return|output)\b[^\n]*\Z",
    re.I,
)
"""A last line that only says how to answer."""
MOST_MARKS = 300
"""Maximum option letters considered in one text."""
SEPARATORS = ("\n", "||", " | ", ";")
"""Separators of unlettered choices in one text, the most reliable first."""


def choices_of(value: Any) -> list[str]:
    """The choices of a cell, without their letters. Raises BadRow if it is not a list of choices.

    A list; a text with one (JSON or Python); "A. cat; B. dog"; lines; {"A": ..., "B": ...};
    {"text": [...]}; empty entries at the end are ignored.
    """
    if isinstance(value, str) and value.strip()[:1] in ("[", "{", "("):
        value = _literal(value.strip())
    if isinstance(value, str):
        value = _split_text(value.strip())
    if isinstance(value, Mapping):
        value = _of_mapping(value)
    if value is None:
        return []
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise BadRow(f"choices are no list: {str(value)[:80]}")
    filled = list(value)
    while len(filled) > 2 and _is_blank(filled[-1]):
        filled.pop()
    return without_letters([choice(one) for one in filled])


def are_numbers(value: Any) -> bool:
    """Whether the choices are numbers, not texts."""
    return (
        isinstance(value, list) and bool(value) and all(isinstance(v, int | float) for v in value)
    )


def choice(value: Any) -> str:
    """One choice as text."""
    from decimal import Decimal

    from vlt.datagen.sources.row import number_text

    if isinstance(value, Decimal):
        return number_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bytes | Mapping):
        raise BadRow("choices are images")
    if value is None:
        raise BadRow("no choice")
    if not isinstance(value, str):
        raise BadRow(f"choice is not text: {type(value).__name__}")
    if not value.strip():
        raise BadRow("choice is empty")
    if len(value) > MAX_TEXT:
        raise BadRow(f"choice is too long ({len(value):,} characters, at most {MAX_TEXT:,})")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRow("choice is not valid Unicode") from None
    return value.strip()


def in_columns(row: Mapping[str, Any], letters: Sequence[str]) -> list[str]:
    """The choices of columns A, B, C, ...; the first empty one ends them."""
    found = []
    for letter in letters:
        value = row.get(letter)
        if _is_blank(value):
            break
        found.append(choice(value))
    return found


def without_letters(choices: list[str]) -> list[str]:
    """["A) red", "B) blue"] as ["red", "blue"]; unchanged if the letters are not consecutive."""
    marks = [_LABEL.match(text) for text in choices]
    if len(choices) < 2 or not all(marks):
        return choices
    letters = [(m[1] or m[2]) for m in marks if m]
    rests = [text[m.end() :].strip() for text, m in zip(choices, marks, strict=True) if m]
    runs = all(a.upper() == b for a, b in zip(letters, LETTERS, strict=False))
    same_case = len({letter.isupper() for letter in letters}) == 1
    return rests if runs and same_case and all(rests) else choices


def question_and_choices(question: str, gold: str) -> tuple[str, list[str]]:
    """The question and the options in its text, if they are lettered A, B, ... and `gold` is such a letter.

    ("Which?\\nA:40° B:60°", "B") -> ("Which?", ["40°", "60°"]); without such options, no choices.
    """
    letter = re.fullmatch(r"\(?([A-Za-z])\)?\.?", gold.strip())
    if not letter:
        return question, []
    body = _PLEASE.sub("", question.rstrip())
    for form in _FORMS:
        marks = _running(list(islice(form.finditer(body), MOST_MARKS)))
        if not LETTERS.find(letter[1].upper()) < len(marks):
            continue
        ends = [mark.start() for mark in marks[1:]] + [len(body)]
        texts = [
            body[m.end() : end].strip(" \t\n;；|,，") for m, end in zip(marks, ends, strict=True)
        ]
        last, newline, after = texts[-1].partition("\n")
        if newline and not any("\n" in text for text in texts[:-1]):
            texts[-1] = last.strip(" \t;；|,，")
        else:
            after = ""
        head = _HEADER.sub("", body[: marks[0].start()]).rstrip()
        if form is not _EACH_ON_A_LINE and not _are_options(body, marks, texts):
            continue
        if head.strip() and all(texts):
            rest = "\n".join(part for part in (head, after.strip()) if part)
            return rest + question[len(body) :].rstrip(), texts
    return question, []


def _are_options(body: str, marks: list[re.Match[str]], texts: list[str]) -> bool:
    """Whether marks in running text mark options, and are not names of things in the question.

    "Which? (A) 3 (B) 4", and not "Figures (A) and (B): which is bigger?"
    """
    head = body[: marks[0].start()]
    if any("?" in text or "？" in text for text in texts) and not re.search(r"[?？]", head):
        return False
    bracketed = all(mark[1] for mark in marks)
    return bracketed or len(marks) > 2 or _HEADER.search(head) is not None


def _running(marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """The last run of marks A, B, C, ... in one letter case, with at least two."""
    best: list[re.Match[str]] = []
    for start, first in enumerate(marks):
        if (first[1] or first[2]).upper() != "A":
            continue
        run = [first]
        lower = (first[1] or first[2]).islower()
        for mark in marks[start + 1 :]:
            letter = mark[1] or mark[2]
            if letter.islower() == lower and letter.upper() == LETTERS[len(run) : len(run) + 1]:
                run.append(mark)
        if len(run) >= 2:
            best = run
    return best


def _split_text(text: str) -> Any:
    """The choices of one text: split at letters, else at lines, bars or semicolons."""
    if not text:
        return []
    for form in _FORMS:
        marks = _running(list(islice(form.finditer(text), MOST_MARKS)))
        if marks and not text[: marks[0].start()].strip():
            ends = [mark.start() for mark in marks[1:]] + [len(text)]
            return [
                text[m.end() : e].strip(" \t\n;；|,，") for m, e in zip(marks, ends, strict=True)
            ]
    for separator in SEPARATORS:
        pieces = [piece.strip() for piece in text.split(separator)]
        if len(pieces) >= 2 and all(pieces):
            return pieces
    raise BadRow(f"choices are no list: {text[:80]}")


def _of_mapping(value: Mapping[Any, Any]) -> Any:
    if isinstance(value.get("text"), list):
        return value["text"]
    filled = {str(k): v for k, v in value.items() if v is not None}
    in_order = sorted(filled, key=lambda k: (len(k), k) if k.isdigit() else (0, k))
    return [filled[key] for key in in_order]


def _is_blank(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, float) and math.isnan(value))
    )


def _literal(text: str) -> Any:
    """The list that a text represents; the text itself if it is a list of lettered choices."""
    if len(text) > MAX_TEXT:
        raise BadRow(f"choices are too long ({len(text):,} characters)")
    for parse in (json.loads, ast.literal_eval):  # literal_eval builds values and runs nothing
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if _LABEL.match(text):
        return text
    raise BadRow(f"choices cannot be read: {text[:80]}")
