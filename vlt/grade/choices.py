"""Multiple choice: the letter, the letter with its own text, or exactly the text of an option."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vlt.grade.clean import clean, fold
from vlt.grade.judge import Judge, Outcome
from vlt.grade.words import first_word, without_reason, without_subject

_LEAD = re.compile(
    r"(?:the )?(?:(?:correct|right|best|final|my) )?(?:option|choice|answer)\b(?: is)?:?\s*", re.I
)
_BARE = re.compile(r"[(\[{]*([A-Za-z])[)\]}.,:;!]*")
_AFTER = re.compile(r"(.+?),? [(\[](?:option |choice )?([A-Z])[)\]]", re.S | re.I)  # Paris (B)
# A letter that is marked as one ("B.", "(B)", "B:", "B - ") and then more.
_MARKED = re.compile(
    r"(?:[(\[{]([A-Za-z])[)\]}][.:,]?|([A-Za-z])(?:[).:,]|\s+[-–]\s|(?=\s*\()))\s*(.+)", re.S
)
_SPACED = re.compile(r"([A-Za-z])\s+(.+)", re.S)
_IS_RIGHT = re.compile(
    r"[(\[]?([A-Za-z])[)\]]?\.? is (?:the )?(?:correct|right|best|true)"
    r"(?: (?:one|answer|option|choice))?[.!]?",
    re.I,
)
_ANOTHER = re.compile(r"(?:^|[\s(/,|])[(\[]?[A-Z][)\]]?(?:[.),/|]|$)|\b(?:or|and|not|maybe|also)\b")
_TAIL = re.compile(r"\s*(?:[,;(—–-]|\.\s|because\b|since\b|as\b)")
_LABELLED = re.compile(r"\s*[(\[]?([A-Z])(?:[).:\]]+)\s*(\S.*)", re.S)
_IN_QUESTION = re.compile(
    r"(?:^|[\s(])\(?([A-J])[).:]\s*(.+?)(?=\s*(?:[\s(]\(?[A-J][).:]\s|$))", re.S
)


def texts_of(choices: Sequence[str]) -> list[str]:
    """The options' cleaned texts, without the letters where they are labelled in order."""
    texts = [clean(str(choice)) for choice in choices]
    labelled = [_LABELLED.fullmatch(text) for text in texts]
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


class Choice:
    """One question's options and which of them is gold."""

    def __init__(self, gold: str, options: list[str], judge: Judge):
        self.options = options
        self.judge = judge
        self.gold = self._read(gold)

    def same(self, got: str) -> Outcome:
        """Whether a cleaned answer commits itself to the gold option."""
        found = self._read(got)
        if found is None:
            return False, "no option"
        if self.gold is None:
            return False, "gold is no option"
        return found == self.gold, f"option {chr(65 + found)}"

    def _read(self, text: str) -> int | None:
        """Which option a text commits itself to, or None."""
        for variant in (text, without_subject(text), without_reason(text)):
            if variant:
                found = self._one(variant)
                if found is not None:
                    return found
        return None

    def _one(self, text: str) -> int | None:
        text = text.strip("\"'` ")
        whole = self._by_fold(text)
        lead = _LEAD.match(text)
        bare = text[lead.end() :] if lead else text
        match = _BARE.fullmatch(bare)
        if match:
            return self._index(match.group(1))
        if whole is not None:
            return whole
        match = _IS_RIGHT.fullmatch(bare)
        if match:
            return self._index(match.group(1))
        match = _MARKED.fullmatch(bare)
        if match:
            index = self._index(match.group(1) or match.group(2))
            if index is not None:
                return index if self._belongs(match.group(3), index) else None
        match = _AFTER.fullmatch(text)
        if match and self.options:
            index = self._index(match.group(2))
            return index if index is not None and self._is_option(match.group(1), index) else None
        match = _SPACED.fullmatch(bare)
        if match and self.options:
            index = self._index(match.group(1))
            if index is not None and self._is_option(match.group(2), index):
                return index
        first, _, more = text.partition("\n")
        if more:  # an explanation on the next line, which names no other option
            return self._one(first) if _ANOTHER.search(more) is None else None
        return self._by_text(text)

    def _index(self, letter: str) -> int | None:
        index = ord(letter.upper()) - 65
        return index if index < (len(self.options) or 26) else None

    def _belongs(self, rest: str, index: int) -> bool:
        """Whether the words after a letter are its own text or a reason for it."""
        rest = rest.strip()
        if re.match(r"(?:because|since|as)\b", rest, re.I):
            return True
        if not self.options:
            return _ANOTHER.search(rest) is None
        if rest[:1] == "(" and rest[-1:] == ")" and self._is_option(rest[1:-1], index):
            return True
        if self._is_option(rest, index):
            return True
        own = fold(self.options[index])
        folded = fold(rest)
        if own and folded.startswith(own) and _TAIL.match(folded, len(own)):
            others = [fold(o) for i, o in enumerate(self.options) if i != index]
            tail = folded[len(own) :]
            return _ANOTHER.search(rest[len(own) :]) is None and not any(
                o and o in tail for o in others
            )
        return False

    def _is_option(self, text: str, index: int) -> bool:
        option = self.options[index]
        if fold(text) == fold(option):
            return True
        if self._by_fold(text) is not None:
            return False
        return self.judge.same(text, option)[0] is True

    def _by_fold(self, text: str) -> int | None:
        folded = fold(text)
        found = [i for i, option in enumerate(self.options) if fold(option) == folded]
        return found[0] if len(found) == 1 else None

    def _by_text(self, text: str) -> int | None:
        """The one option that has this text as its own, as a word, a number or a formula."""
        said = first_word(text)
        if said is not None:
            found = [i for i, option in enumerate(self.options) if fold(option) == said]
        else:
            found = [
                i
                for i, option in enumerate(self.options)
                if self.judge.same(text, option)[0] is True
            ]
        return found[0] if len(found) == 1 else None
