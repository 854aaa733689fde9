"""Texts and yes/no: what may stand around a word without changing the answer."""

from __future__ import annotations

import re

from vlt.grade.clean import fold
from vlt.grade.nouns import singular

# "Yes, because ...", "No - it is smaller", "Yes it is"; but "no idea", "No one", "Yes or no".
_FIRST = re.compile(r"(yes|no|true|false)\b(?P<rest>.*)", re.I | re.S)
_NOT_AN_ANSWER = re.compile(r"\W*(?:or|and|nor)\b|\s*[/|]|\W+(?:yes|no|true|false)\W*$", re.I)
_AFTER_NO = re.compile(
    r"\s+(?:it|they|he|she|we|you|i|the|there|this|that|these|those|because|since|as|not|is|are|both)\b",
    re.I,
)
_TURN = re.compile(
    r"\b(?:actually|wait|sorry|rather|correction|(?:or|and) (?:maybe|also|perhaps|rather))\b|\bmaybe\b"
    r"|\bdepends\b|\b(?:cannot|can't|can not|unable to) (?:tell|say|determine|see|answer)\b|\bnot sure\b",
    re.I,
)
_LAST = re.compile(r"\b(yes|no|true|false)\W*$", re.I)
_SUBJECT = re.compile(
    r"(?P<subject>.{1,80}?)\s(?:is|are|was|were|equals)(?: equal to)?:?\s+(?P<rest>\S.*)", re.S
)
_NO_SUBJECT = re.compile(
    r"\b(?:not|never|or|either|neither|nor|if|unless|whether|except|but|nothing|none|opposite|no|what|"
    r"which|who)\b|n't\b|[,;=<>]|[.!?]\s",
    re.I,
)
_BECAUSE = re.compile(r",?\s+(?:because|since|so that)\b|,\s+(?:as|so|for|given)\b", re.I)


def first_word(text: str) -> str | None:
    """Which of yes, no, true and false a text commits itself to, or None."""
    text = text.lstrip("\"'(*_ ")
    match = _FIRST.match(text)
    if match is None:
        return None
    word, rest = match.group(1).casefold(), match["rest"]
    if not rest.strip(" .!\"')*_;:,"):
        return word
    if _NOT_AN_ANSWER.match(rest) or _TURN.search(rest):
        return None
    last = _LAST.search(rest)
    if last and last.group(1).casefold() != word and len(rest) < 60:
        return None
    if rest[0] in ".,;:!-—–(\n" or rest.lstrip()[:1] in "-—–(":
        if rest[0] == "." and rest.strip(". ")[:1].isdigit():
            return None  # "No. 5"
        return word
    if word == "no" and not _AFTER_NO.match(rest):
        return None
    return word if rest[0].isspace() else None


def without_subject(text: str) -> str | None:
    """Only "Paris" of "The X is Paris"; None where the text is not of that form, or is a hedge."""
    if len(text) > 400:
        return None
    match = _SUBJECT.fullmatch(text)
    if match is None or _NO_SUBJECT.search(match["subject"]):
        return None
    return match["rest"].strip()


def without_reason(text: str) -> str | None:
    """Only "12" of "12 because 5 + 7 = 12"; None where no reason is given."""
    match = _BECAUSE.search(text)
    if match is None or match.start() == 0:
        return None
    return text[: match.start()].strip()


_TWICE = re.compile(r"([^()]{1,80}) \(([^()]{1,80})\)")


def twice(text: str) -> tuple[str, str] | None:
    """The two parts of "12 (twelve)" or "5 (cm)", or None."""
    match = _TWICE.fullmatch(text)
    return (match.group(1), match.group(2)) if match else None


_SUBSCRIPT = re.compile(r"(?<=[A-Za-z)])_(?:\{(\d+)\}|(\d))")
_ONE_CHARACTER = re.compile(r"(?<=[\^_])\{(\w)\}")


def compact(text: str) -> str:
    """Without spaces and braces, subscripts on the line: for formulas compared as text."""
    text = _ONE_CHARACTER.sub(r"\1", _SUBSCRIPT.sub(r"\1\2", text))
    return "".join(text.split()).rstrip(".")


def same_plural(a: str, b: str) -> bool:
    """Equal but for plural endings (an option)."""
    one, other = ([singular(word) for word in fold(text).split()] for text in (a, b))
    return one == other
