"""The options of a question: their texts, several letters at once, nearly identical texts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vlt.grade.clean import clean

LABELLED = re.compile(r"\s*[(\[]?([A-Z])(?:[).:\]]+)\s*(\S.*)", re.S)
_IN_QUESTION = re.compile(
    r"(?:^|[\s(])\(?([A-J])[).:]\s*(.+?)(?=\s*(?:[\s(]\(?[A-J][).:]\s|$))", re.S
)
_SEVERAL = re.compile(
    r"(?:(?:options?|choices?|answers?|both)\s+)?[(\[{⦃]*[A-J][)\]]?(?:[\s,;、&/|]*(?:\band\b\s*|和|"
    r"及)?[(\[]?[A-J][)\]]?)+"
    r"[)\]}⦄]*\.?",
)
_LETTERS = re.compile(r"(?<![a-z])[A-J](?![a-z])")
_TOKEN = re.compile(r"[^\W_]+")


def texts_of(choices: Sequence[str]) -> list[str]:
    """The options' cleaned texts, without their letters if they are labelled in order."""
    texts = [clean(str(choice)) for choice in choices]
    labelled = [LABELLED.fullmatch(text) for text in texts]
    if texts and all(m and ord(m.group(1)) - 65 == i for i, m in enumerate(labelled)):
        return [m.group(2).strip() for m in labelled if m]
    return texts


def choices_in(question: str) -> list[str]:
    """The options that a question lists as (A) 10 (B) 12 ..., or none."""
    if len(question) > 4000:
        return []
    found = list(_IN_QUESTION.finditer(question))
    letters = "".join(match.group(1) for match in found)
    at = letters.rfind("AB")
    if at < 0 or letters[at:] != "ABCDEFGHIJ"[: len(letters) - at]:
        return []
    return [clean(match.group(2)) for match in found[at:]]


def several(text: str, count: int = 10) -> str | None:
    """The letters of "A, C", "A and C", "(A)(C)" or "AC", in order; None for fewer than two."""
    if not _SEVERAL.fullmatch(text):
        return None
    letters = _LETTERS.findall(text)
    if len(letters) < 2 or len(set(letters)) < len(letters):
        return None
    return "".join(sorted(letters)) if max(letters) < chr(65 + count) else None


def same_letters(got: str, gold: str, count: int, listed: bool) -> bool:
    """Whether an answer names all letters of a gold with several; joined letters must be in order."""
    letters = several(got, count)
    if letters is None or letters != several(gold, count):
        return False
    solid = got.isalpha()
    return not solid or listed or got == letters


def word_in(word: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def squeezed(text: str) -> str:
    """Only letters and digits, to compare texts regardless of punctuation and spacing."""
    if not re.fullmatch(r"[^\W\d]?[^\W\d\s][\w\s.,;:'\"&-]*", text) or re.search(r"\d", text):
        return text
    return "".join(_TOKEN.findall(text))


def signs(text: str) -> list[str]:
    return re.findall(r"\d+|\b(?:not|no|never|n't|un\w+|non\w*)\b", text)


def close(a: str, b: str) -> bool:
    """One letter of a long text read as a digit ("produc4")."""
    return (
        abs(len(a) - len(b)) <= 1
        and sum(x != y for x, y in zip(a, b, strict=False)) <= 1
        and len(a) > 20
    )
