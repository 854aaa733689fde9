"""Which part of an answer is the answer, which explains it, and when it is hedged: all decided here.

An answer is first read as a whole. If it says more than the answer, its head is the answer:

* the first sentence or line, if the rest is prose that explains it;
* within that, the part before "because", "since", ", which" and the like or a remark in brackets,
  and after "The X is", "Therefore" and "Answer:".

Only an explanation may be left out. It is never searched for an answer: neither "42 because x is
12" nor "42\\nThe base is 12" says 12. If the part to be left out names another possibility or takes
the answer back ("or 13", "maybe", "wait", "not sure"), nothing is left out and the whole is judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vlt.grade.phrases import SENTENCE_END, announced


@dataclass(frozen=True, slots=True)
class Committed:
    """The head of an answer."""

    head: str
    aside: str = ""
    """A remark in brackets after it that must agree with it: a number, a unit, a formula."""


_BACK = re.compile(
    r"\b(?:wait|actually|sorry|oops|correction|i mean|second thought|scratch that|let me re|maybe|perhaps|"
    r"possibly|alternatively|instead|rather|not (?:sure|certain)|unsure|uncertain|ambiguous|unclear|depends|"
    r"mistake|(?:can(?:not|'t| not)|could not|couldn't|unable to) (?:be )?(?:sure|determined?|"
    r"tell|say|see|answer)|"
    r"(?:could|might|may|can) (?:also )?be|either|or (?:it|the answer|else|we)|"
    r"is (?:also )?(?:wrong|incorrect|not (?:right|correct|the answer))|isn't (?:right|correct)|"
    r"no(?=\W*$)|yes(?=\W*$)|or(?= [\w$\\(]+[.)]?$))\b"
    r"|^\W*(?:wrong|incorrect|false)\b|^\W*(?:or|and|but|no(?=[,.!;:])|not|however|also|hmm|"
    r"plus|minus|times|yet|though|although|if|unless)\b"
    r"|\?|(?:或|可能|也许|不确定|等等|不对)",
    re.I,
)
_PROSE = re.compile(r"(?<![\w\\])[^\W\d_]{2,}(?:['’-][^\W\d_]+)*(?!\w)")
_LABEL = re.compile(
    r"\W*(?:explanation|reason(?:ing)?|because|note|solution|proof|justification|steps?|rationale|"
    r"working|check|"
    r"verification|hint|解释|理由|解析|分析|说明|因为)\b",
    re.I,
)
# One of these makes several words a sentence.
_COMMON = frozenset(
    "is are was were be has have had does do did the a an of in on at to from by for it its this "
    "that these we "
    "he she they because since so can cannot equals gives get makes means shows as if when where which with "
    "la le les el los las un une de del der die das ein eine est es ist son sont é é uma che il "
    "di het een jest".split()
)
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")
_PLAIN = re.compile(
    r"[-+¤€£¥≈~ ]*(?:\\frac|\\sqrt|\d|\.\d)\S*(?: ?[^\W\d]{1,12}(?:[/^]\S+)?)?"
    r"|\(?[A-Za-z]\)?\.?|yes|no|true|false",
    re.I,
)
_CONDITION = re.compile(r"\s(?:as|which|where|when|while|if|given|with|using|by)\b", re.I)
_STARTS_ANEW = re.compile(
    r"[A-Z][\w-]* (?:The|It|This|That)\b|\w[\w-]* \(|[A-Za-z] ?= ?\S|\(-?\d|\d{1,2}:\d\d"
    r"|[$¤€£¥]?-?\d[\d.,:/-]*%?\s+(?:[^\W\d]|[(\[])|\d[\d.,]*[^\W\d]"
)
_ANSWER_LIKE = re.compile(
    r"\W*(?:[A-Za-z] ?= ?)?(?:[-+¤€£¥]?[\d\\(](?:\\?[a-z]{3,5}(?=[{\[])|[\d\W])*"
    r"(?: ?[A-Za-z°]{1,4}(?:\^?\d)?)?"
    r"|\(?[A-Za-z]\)?|yes|no)",
    re.I,
)
_SURE = re.compile(
    r",?\s+(?:because|since|so that|due to|given that|thanks to|as shown|as seen|as can be seen|"
    r"as expected)\b"
    r"|,\s+(?:which|where|as|so|for|given|with|using|i\.e\.|that is)\b|[,，]?\s*(?:因为|由于)",
    re.I,
)
# After a number, a letter or yes and no these begin an explanation too.
_AFTER_PLAIN = re.compile(
    r",?\s+(?:which|where|as(?! (?:well|much|many|long|far|good|big|a|an)\b)|using"
    r"|by(?= (?:the|using|[A-Z])))\b",
    re.I,
)
_ASIDE = re.compile(r"(.+?)\s*\(([^()]{1,80})\)[.,]?", re.S)
_SUBJECT = re.compile(
    r"(?P<subject>[^\n.!?:;=<>]{1,80}?)\s(?:is|are|was|were|equals|will be|would be|must be|comes out to be)"
    r"(?: equal to)?:?\s+(?P<rest>\S.*)",
    re.S,
)
_NO_SUBJECT = re.compile(
    r"\b(?:not|never|or|and|either|neither|nor|if|unless|whether|except|but|nothing|none|opposite|"
    r"no|what|who|"
    r"twice|double|triple|half|thrice|previous|earlier|wrong|incorrect|other|another|more|less|fewer|than|"
    r"where|when|while|as|is|because|since|until|before|after|without|old|original|initial|every|each|"
    r"i|you|think|guess|minus|plus|times|square|root|inverse|reciprocal|negative)\b"
    r"|n't\b|[,()]|\d ?[+*/^-]",
    re.I,
)
_IS_RIGHT = re.compile(
    r"\s+is (?:the )?(?:(?:correct|right|final|best)(?: answer| result| one)?|answer|result)[.!]?$",
    re.I,
)
_DENIED = re.compile(r"(?:wrong|incorrect|not|never|no longer|unlikely)\b", re.I)
_BEFORE_ARTICLE = frozenset(
    "of in for to on at from by that between under inside for into per over all both along "
    "around across through "
    "using with about than so thus hence therefore then now here finally overall clearly given shown".split()
)
_ARTICLES = frozenset("the this that these those a an its their my our his her it there".split())
_ADVERB = re.compile(
    r"(?:therefore|thus|hence|then|clearly|obviously|indeed|definitely|certainly|so)\b[,:]?\s+(?=\S)",
    re.I,
)
_ONLY = re.compile(
    r"(?:simply|just|exactly|only|precisely)\s+(?=[-+¤]?[\d\\]|(?:yes|no|true|false)\b)", re.I
)
YEAR = re.compile(r"^(?:in (?:the year )?|(?:the )?year:? )(?=\d{4}\W*$)", re.I)


def committed(text: str, languages: str = "all") -> Committed | None:
    """The head of a cleaned answer that says more than the answer; None if there is none."""
    if len(text) > 4000:
        return None
    head: str | None = _unlabelled(text, languages)
    head = _first_statement(head) if head else None
    aside = ""
    if head:
        head = _without_reason(head)
    if head:
        match = _ASIDE.fullmatch(head)
        if match:
            if _remark(match.group(2)):
                head = match.group(1)
            elif not _BACK.search(match.group(2)):
                head, aside = match.group(1), match.group(2)
            else:
                return None
    if not head:
        return None
    head = _IS_RIGHT.sub("", head)
    head = _ADVERB.sub("", head, count=1) if _ADVERB.match(head) else head
    subject = without_subject(head)
    head = subject or head
    for lead in (_ADVERB, _ONLY, YEAR):
        match = lead.match(head)
        if match:
            head = head[match.end() :]
    head = head.strip()
    if not head.endswith("..."):
        head = head.rstrip(".,;:!" if head[-2:-1].isalpha() else ".,;:")
    return Committed(head, aside) if head and (head != text or aside) else None


def _unlabelled(text: str, languages: str) -> str:
    """The text without "Answer:" or "So the answer is" before it."""
    places = announced(text[:200], languages)
    if places and places[0][0] <= 40:
        begin, start, _ = places[0]
        before = text[:begin].strip(" *#\n").casefold()
        words = before.split()
        if len(words) <= 6 and all(word.strip(",") in _BEFORE_LABEL for word in words):
            return text[start:].strip()
    return text


_BEFORE_LABEL = frozenset(
    "the my our final correct right best so thus hence therefore then and now in conclusion is that a "
    "overall clearly finally sure okay ok to this short we i think believe get find have can "
    "conclude 正确 所以 因此 "
    "因此， 所以， 故 la el der die das les le a resposta".split()
)


def _first_statement(text: str) -> str | None:
    """The first sentence or line, if the others explain it; None if they take it back."""
    line, _, rest = text.partition("\n")
    rest = rest.strip()
    line = line.rstrip()
    if rest and (takes_back(rest) or not _explains(rest, line)):
        return None
    match = SENTENCE_END.search(line)
    if match and line[match.start()] == "?":
        return None
    if match and not re.fullmatch(r"\W*[A-Za-z]", line[: match.start()]):
        tail = line[match.end() :]
        if takes_back(tail) or not _explains(tail, line[: match.start()]):
            return None
        line = line[: match.start()]
    return line.strip()


def takes_back(text: str) -> bool:
    """Whether an explanation names another possibility or takes the answer back."""
    return _BACK.search(text) is not None or bool(announced(text))


def _explains(text: str, head: str) -> bool:
    """Whether the text is prose or a computation of `head`, and not another answer."""
    if _LABEL.match(text):
        return True
    for line in re.split(r"\n|(?<=[a-z)][.!])\s+(?=[A-Z])", text):
        line = line.strip("-*• ")
        numbers = _NUMBER.findall(line)
        known = "=" in line and numbers and numbers[-1] in _NUMBER.findall(head)
        if _STARTS_ANEW.match(line) and not known:
            return False  # "42\n12 The base is 12"
        reason = _SURE.search(line) or _CONDITION.search(line)
        said = line[: reason.start()].strip() if reason else ""
        if said and (_ANSWER_LIKE.fullmatch(said) or len(said.split()) == 1):
            return False  # another answer, explained: "42\n12 since ..."
        if line and not is_prose(line) and not re.search("[\u3040-\u9fff]{4}", line):
            if line.strip("$* .") == head.strip("$* ."):
                continue
            numbers = _NUMBER.findall(line)
            if "=" not in line or not numbers or numbers[-1] not in _NUMBER.findall(head):
                return False
    return True


def is_prose(text: str) -> bool:
    """Whether a line is a sentence: at least three words, one of them typical of sentences."""
    words = _PROSE.findall(text)
    return len(words) >= 3 and any(word.casefold() in _COMMON for word in words)


def _without_reason(text: str) -> str | None:
    """The text before "because" and the like; None if the reason takes it back."""
    match = _SURE.search(text, 1)
    after = _AFTER_PLAIN.search(text, 1)
    if after and (match is None or after.start() < match.start()):
        match = after if _PLAIN.fullmatch(text[: after.start()].strip()) else match
    if match is None or not text[: match.start()].strip():
        return text
    if takes_back(text[match.end() :]):
        return None
    return text[: match.start()].strip()


def _remark(text: str) -> bool:
    """Whether words in brackets are an explanation: three or more, naming no other possibility."""
    return len(_PROSE.findall(text)) >= 3 and not text[:1].isdigit() and not takes_back(text)


def without_subject(text: str) -> str | None:
    """Only "Paris" from "The X is Paris"; None if the text does not have that form, or is a hedge."""
    if len(text) > 400:
        return None
    match = _SUBJECT.fullmatch(text)
    if match is None or not names_one(match["subject"]) or _DENIED.match(match["rest"]):
        return None
    return match["rest"].strip()


def names_one(subject: str) -> bool:
    """Whether a subject is one noun phrase, not an answer and then another subject."""
    if _NO_SUBJECT.search(subject):
        return False
    words = subject.replace(",", " ").split()
    lower = [word.casefold() for word in words]
    if not words or not (words[0][0].isalpha() or words[0][0] in "∠△|"):
        return False
    if any(w in _ARTICLES and lower[i] not in _BEFORE_ARTICLE for i, w in enumerate(lower[1:])):
        return False
    opened = next((i for i, w in enumerate(lower) if w not in _BEFORE_ARTICLE), 0)
    if lower[opened] in _ARTICLES or len(words) - opened == 1:
        return words[0][0].isascii() or not words[0][0].isupper()
    return words[0].isascii() and not words[opened + 1][0].isupper()


# -- yes and no

# "Yes, because ...", "No - it is smaller", "Yes it is"; but "no idea", "No one", "Yes or no".
_FIRST = re.compile(r"(yes|no|true|false)\b(?P<rest>.*)", re.I | re.S)
_NOT_AN_ANSWER = re.compile(
    r"\W*(?:or|and|nor)\b|\s*[/|]|\W+(?:yes|no|true|false)\W*$|\W+i(?:'m| am) not\b"
    r"|\W+i (?:do not|don't|can't|cannot|could not|couldn't)\b",
    re.I,
)
_AFTER_NO = re.compile(
    r"\s+(?:it|they|he|she|we|you|the|there|this|that|these|those|because|since|as|not|both)\b",
    re.I,
)
_TURN = re.compile(r"\b(?:(?:or|and) (?:maybe|also|perhaps|rather))\b|\bmaybe\b", re.I)
_ALONE = re.compile(
    r"(?:^|[.,;:!?\n—-]|\.\.\.)\s*[\"'*]*(yes|no|true|false)[\"'*]*(?=\s*(?:[.,;:!?\n]|$|if\b|when\b|unless\b|otherwise\b|since\b|because\b))",
    re.I,
)


def first_word(text: str) -> str | None:
    """Which of yes, no, true and false a text commits to, or None."""
    text = text.lstrip("\"'(*_ ")
    match = _FIRST.match(text)
    if match is None:
        return None
    word, rest = match.group(1).casefold(), match["rest"]
    if not rest.strip(" .!\"')*_;:,"):
        return word
    if (
        _NOT_AN_ANSWER.match(rest)
        or ", but " in rest
        or _TURN.search(rest)
        or _BACK.search(rest[1:])
    ):
        return None
    if any(said.group(1).casefold() != word for said in _ALONE.finditer(rest)):
        return None
    if rest[0] in ".,;:!-—–(\n" or rest.lstrip()[:1] in "-—–(":
        if rest[0] == "." and rest.strip(". ")[:1].isdigit():
            return None  # "No. 5"
        return word
    return word if _AFTER_NO.match(rest) else None
