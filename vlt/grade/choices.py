"""Multiple choice: the letter, the letter with its own text, or exactly the text of an option.

An answer is read as one option or none. A letter that is also the text of another option is not
an answer, nor is a letter with another option's text.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from vlt.grade.clean import fold
from vlt.grade.commit import (
    committed,
    first_word,
    is_prose,
    names_one,
    takes_back,
    without_subject,
)
from vlt.grade.judge import Judge
from vlt.grade.letters import LABELLED, close, signs, squeezed, word_in
from vlt.grade.nouns import noun_of
from vlt.grade.verdict import Outcome

_LEAD = re.compile(
    r"(?:(?:it is|it's|is|the|my|so|select|choose|pick)\s+)*(?:(?:correct|right|best|final) )?"
    r"(?:option|choice|answer|letter|alternative)s?\b(?: (?:is|are))?:?\s*|(?:it is|it's)\s+"
    r"|(?:正确)?(?:答案|选项)[是为:]?\s*|(?:故|应|所以|因此)?(?:本题)?选择?[:]?\s*",
    re.I,
)
_TRAIL = re.compile(
    r"(?:\s*(?:选项|项|正确|です|である|입니다)|\s+(?:is|are)\s+(?:the\s+)?(?:correct|right|best|true|answer)"
    r"(?:\s+(?:one|answer|option|choice))?|\s+(?:option|choice))[.!。]?$",
    re.I,
)
_BARE = re.compile(r"[(\[{\"']*([A-Za-z])[)\]}.,:;!\"']*")
_AFTER = re.compile(r"(.+?),? [(\[](?:option |choice )?([A-Z])[)\]]", re.S | re.I)  # Paris (B)
# A letter that is marked as one ("B.", "(B)", "B:", "B - ") and then more.
_MARKED = re.compile(
    r"(?:[(\[{]([A-Za-z])[)\]}][.:,]?|([A-Za-z])(?:[).:,;]|\s*[-–=→]\s|(?=\s*\()))\s*(.+)", re.S
)
_SPACED = re.compile(r"([A-Za-z])\s+(.+)", re.S)
_NOUN = re.compile(r"(?:the )?([A-Za-z]{3,})\s+[(\[]?([A-Za-z])[)\]]?\.?")
_ANOTHER = re.compile(r"(?:^|[\s(/,|])[(\[]?[A-Z][)\]]?(?:[.),/|]|$)|\b(?:or|and|not|maybe|also)\b")
_ENDS = re.compile(
    r"(?P<subject>[^.!?:;]{3,150}?) (?:is|are|be):? (?:(?:the )?(?:option|choice|figure|picture|image|card|"
    r"number|letter|point|shape|diagram|graph|statement|tile|piece) "
    r")?[(\[\"']*(?P<letter>[A-Z])[)\]\"']*[.!]?"
)
_OTHER = re.compile(r"\b[B-HJ]\b|\bA\b(?! [a-z])|\bA (?:is|cannot|was|can)\b")
_CLAUSE = re.compile(r"\b(?:that|which|who)\b.*")
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|does|do|shows?|gives|makes|equals)\b")
_REMARK = re.compile(r"\(([^()]+)\)\W*$")
_REASON = re.compile(r"(?:because|since|as)\b", re.I)
_TAIL = re.compile(r"\s*(?:[,;(—–-]|\.\s|\n|because\b|since\b|as\b)")
_TOKEN = re.compile(r"[^\W_]+")


class Choice:
    """One question's options and which of them is gold."""

    def __init__(self, gold: str, options: list[str], judge: Judge):
        self.options = options
        self.folded = [fold(option) for option in options]
        self.judge = judge
        self.label = ""
        labelled = LABELLED.fullmatch(gold) if not options else None
        if labelled:  # "B. Rectangle": one option is known, and it is gold
            gold, self.label = labelled.group(1), labelled.group(2).strip()
        plain = len(gold) == 1 and gold.isupper()
        own = self._by_fold(gold)
        letter = self._index(gold) if len(gold) == 1 else None
        self.gold = letter if plain and letter is not None else own
        if self.gold is None:
            self.gold = self.read(gold) if letter is None else letter

    def same(self, got: str) -> Outcome:
        """Whether a cleaned answer commits to the gold option."""
        if self.label and self.judge.same(got, self.label)[0]:
            return True, "its text"
        found = self.read(got)
        if found is None:
            return False, "no option"
        if self.gold is None:
            return False, "gold is no option"
        return found == self.gold, f"option {chr(65 + found)}"

    def read(self, text: str) -> int | None:
        """Which option a text commits to, or None."""
        found = self._one(text)
        if found is None:
            head = committed(text)
            if head is not None and not _ANOTHER.search(head.aside):
                found = self._one(head.head)
                remark = head.aside or _REMARK.search(text)
                if found is not None and remark:
                    inner = remark if isinstance(remark, str) else remark.group(1)
                    if self._by_fold(inner) not in (None, found) or (
                        head.aside and not self._is_option(inner, found)
                    ):
                        found = None
        return self._in_prose(text) if found is None else found

    def _in_prose(self, text: str) -> int | None:
        """The letter that prose ends with, on a line of its own or after "is"."""
        parts = [part.strip() for part in re.split(r"\n|(?<=[.!])\s", text[-4000:]) if part.strip()]
        if not parts or not all(is_prose(part) for part in parts[:-1]):
            return None
        if any(_OTHER.search(part) for part in parts[:-1]):
            return None  # a letter is named before
        match = _BARE.fullmatch(parts[-1]) if len(parts) > 1 else None
        if match is None:
            match = _ENDS.fullmatch(parts[-1])
            if (
                match is None
                or match["subject"][:2].isupper()
                or not names_one(_CLAUSE.sub("", match["subject"]))
            ):
                return None
        letter = match.groupdict().get("letter") or match.group(1)
        return self._index(letter) if letter.isupper() else None

    def _one(self, text: str) -> int | None:
        text = text.strip("\"'` ")
        own = self._by_fold(text)
        bare = self._unled(text)
        match = _BARE.fullmatch(bare)
        if match:
            index = self._index(match.group(1))
            if own is not None and index is not None and own != index:
                return None  # the letter of one option and the text of another
            if index is None and own is None:
                return self._by_fold(match.group(1))
            return own if own is not None else index
        if own is not None:
            return own
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
        match = _NOUN.fullmatch(text)
        if match and noun_of(match.group(1)) and match.group(2).isupper():
            if not self.options:
                return self._index(match.group(2))
            if all(len(_TOKEN.sub("x", option)) <= 3 for option in self.options):
                return self._by_fold(match.group(2))  # "Point B" where the options are points
        return self._by_text(text)

    def _unled(self, text: str) -> str:
        """The text without "option" before a letter and "is correct" after it."""
        lead = _LEAD.match(text)
        bare = text[lead.end() :] if lead else text
        trail = _TRAIL.search(bare)
        if trail and _BARE.fullmatch(bare[: trail.start()]):
            bare = bare[: trail.start()]
        return (
            bare
            if lead is None or not lead.group().lower().startswith("it") or len(bare) < 4
            else text
        )

    def _index(self, letter: str) -> int | None:
        index = ord(letter.upper()) - 65
        return index if 0 <= index < (len(self.options) or 26) else None

    def _belongs(self, rest: str, index: int) -> bool:
        """Whether the words after a letter are its own text or a reason for it."""
        rest = rest.strip()
        if _REASON.match(rest):
            return not takes_back(rest)
        if not self.options:
            named = _ANOTHER.search(rest) or re.search(r"^[A-J]\b|\b[B-HJ]\b", rest)
            return not named and not takes_back(rest)
        if rest[:1] == "(" and rest[-1:] == ")" and self._is_option(rest[1:-1], index):
            return True
        yes_no = first_word(self.options[index]) is not None and fold(rest) != self.folded[index]
        if yes_no and _ANOTHER.search(rest):
            return False  # "B. No, it's D"
        if self._is_option(rest, index) or self._nearest(rest) == index:
            return True
        own, folded = self.folded[index], fold(rest)
        if (
            len(_TOKEN.findall(rest)) > 3
            and _VERB.search(rest)
            and not takes_back(rest)
            and all(len(_TOKEN.findall(option)) <= 3 for option in self.options)
            and not any(option and word_in(option, folded) for option in self.folded)
            and _ANOTHER.search(rest) is None
        ):
            return True  # "F: it has four sides"
        if own and folded.startswith(own) and _TAIL.match(folded, len(own)):
            tail = folded[len(own) :]
            return _ANOTHER.search(rest[len(own) :].strip()) is None and not any(
                other and other in tail for i, other in enumerate(self.folded) if i != index
            )
        return False

    def _is_option(self, text: str, index: int) -> bool:
        if fold(text) == self.folded[index]:
            return True
        found = self._by_fold(text)
        if found is not None:
            return found == index
        return self.judge.same(text, self.options[index])[0] is True

    def _nearest(self, text: str) -> int | None:
        """The option that a longer text misspells; its numbers and any "not" must be present."""
        folded = fold(text)
        if not 12 <= len(folded) <= 400 or len(self.options) > 12:
            return None
        ratios = [SequenceMatcher(None, folded, option).ratio() for option in self.folded]
        best = max(range(len(ratios)), key=ratios.__getitem__)
        others = [ratio for i, ratio in enumerate(ratios) if i != best]
        if ratios[best] < 0.85 or (others and max(others) > ratios[best] - 0.05):
            return None
        return (
            best
            if signs(folded) == signs(self.folded[best]) or close(folded, self.folded[best])
            else None
        )

    def _by_fold(self, text: str) -> int | None:
        if "\n" in text:
            return None
        folded = fold(text)
        found = [i for i, option in enumerate(self.folded) if option == folded]
        if not found and len(folded) > 3:
            bare = squeezed(folded)
            if len(bare) > 3 and not bare.isdigit():
                found = [i for i, option in enumerate(self.folded) if squeezed(option) == bare]
        return found[0] if len(found) == 1 else None

    def _by_text(self, text: str) -> int | None:
        """The only option with this text, compared as words, a number or a formula."""
        said = first_word(text)
        if said is not None:
            found = [i for i, option in enumerate(self.folded) if option == said]
        else:
            found = [
                i
                for i, option in enumerate(self.options)
                if self.judge.same(text, option)[0] is True
            ]
        if not found:
            shorter = without_subject(text)
            if shorter is not None and self._by_fold(shorter) is not None:
                return self._by_fold(shorter)
        return found[0] if len(found) == 1 else None
