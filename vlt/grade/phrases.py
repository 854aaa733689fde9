"""How answers are announced: "the answer is", "Answer:", 答案是, la respuesta es, and so on.

`announced` finds every place in a text where an answer is stated in words. Statements about something
else (the wrong answer, twice the answer, what the answer would be if) do not count.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_PHRASES = 200
"""Only this many of the last mentions of an answer are examined."""
MAX_TEXT = 30_000
"""Only this many of the last characters of a response are examined."""

_IS = r"(?:is|are|was|would be|must be|should be|has to be)\b(?: (?:likely|probably|equal to)\b)?"
_NAMED = r"(?:option|choice|alternative|letter|result|response|statement|picture|image|figure|one)"
# By language (ISO 639-1). Each ends where the answer begins.
PHRASES = {
    "en": (
        r"answers?\b(?:[^\S\n]{0,3}[*_]{0,3}"
        rf"(?:(?:\s{{1,3}}(?:to|for|of)\b[^.:\n]{{0,80}}?)?\s{{1,3}}{_IS}|\s{{0,3}}[:=])"
        r"|[ \t*_:]{0,8}\n)",
        rf"(?:correct|right|best|final)\s{{1,3}}{_NAMED}[*_]{{0,3}}(?:\s{{1,3}}{_IS}|\s{{0,3}}:)",
        r"(?:final )?result\s{0,2}[:=]",
        r"correspond(?:s|ing) to (?:the )?(?=(?:option|choice)\b)",
        r"(?:i|we)(?: would|'d|'ll| will)? (?:choose|select|pick) (?=(?:option|choice|answer)\b)",
    ),
    "zh": (
        r"(?:答案|结果|正确选项|正确的选项)\s?(?:应该|应|就)?(?:是|为|选|[:：=])+",
        r"(?:故|应|所以|因此|本题)?(?:应)?选择?(?:项|的是)?[:：]?\s?(?=[(（]?[A-H](?![A-Za-z]))",
    ),
    "ja": (r"(?:答え|答|結果|正解|解答|回答)\s?(?:は|[:：])",),
    "ko": (r"(?:정답|답)\s?(?:은|는|[:：])",),
    "ru": (r"ответ[^\S\n]{0,2}(?:это|[:：—–-])",),
    "es": (
        r"resultado\b[^:.\n]{0,40}?(?:\bes\b|:)",
        r"respuesta\b[^:.\n]{0,40}?(?:\bes\b|:)",
    ),
    "fr": (r"réponse\b[^:.\n]{0,40}?(?:\best\b|:)",),
    "de": (r"(?:antwort|lösung)\b[^:.\n]{0,40}?(?:\bist\b|\blautet\b|:)",),
    "it": (r"risposta\b[^:.\n]{0,40}?(?:\bè\b|:)",),
    "pt": (r"resposta\b[^:.\n]{0,40}?(?:\bé\b|:)",),
    "nl": (r"antwoord\b[^:.\n]{0,40}?(?:\bis\b|:)",),
    "pl": (r"odpowiedź\b[^:.\n]{0,40}?(?:\bto\b|:)",),
    "tr": (r"cevap\b[^:.\n]{0,40}?:",),
    "vi": (r"(?:đáp án|câu trả lời)\b[^:.\n]{0,40}?(?:\blà\b|:)",),
    "id": (r"jawaban(?:nya)?\b[^:.\n]{0,40}?(?:\badalah\b|:)",),
    "ar": (r"(?:الإجابة|الاجابة|الجواب)[^:.\n]{0,40}?(?:هي|هو|:)",),
    "fa": (r"(?:پاسخ|جواب)[^:.\n]{0,40}?:",),
    "hi": (r"उत्तर\s?(?:है|[:：])",),
    "bn": (r"উত্তর\s?(?:হল|[:：])",),
    "th": (r"คำตอบ(?:ที่ถูกต้อง)?\s?(?:คือ|:)",),
    "sw": (r"jibu\b[^:.\n]{0,40}?(?:\bni\b|:)",),
}
LANGUAGES = tuple(PHRASES)

# What makes "the ... answer is" a statement about another answer.
_OTHER = re.compile(
    r"\b(?:wrong|incorrect|previous|earlier|old|former|twice|double|triple|half|not|no(?!,| wait)|"
    r"never|another|other|"
    r"possible|alternative|first|second|initial|original|than|"
    r"doubt|maybe|perhaps|possibly|user'?s?|students?'?s?|their|his|her|could|might|may|isn't|opposite|every|each)\b"
    r"|错误|原来|之前|错的",
    re.I,
)
_LABEL = re.compile(r"\W*(?:(?:so|the|my|our|final|correct|is|thus|therefore|that),?\s*)*\W*", re.I)
_JOINT = re.compile(
    r"[,;.]?\s*(?:\b(?:so|and|then|thus|hence|therefore|but|or)\b,?\s*)?(?:\b(?:the|my|our|final|correct)\s+)*\Z",
    re.I,
)
_SUPPOSED = re.compile(r"\b(?:if|unless|whether|suppos\w+|assum\w+)\b", re.I)
_CLAUSE = re.compile(r"[.!?。！？\n;；]")
_LEAD = re.compile(r"[\s:：]*(?:[*_`]{1,3}(?=\s))?\s*")
# A sentence ends at ". " before a capital, but not in "U.S. Army", "C. E." or after "Ms.".
SENTENCE_END = re.compile(
    r"(?<!\.[A-Za-z])(?<!\b[Aa]pprox)(?<!\b(?:[MD]r|Ms|St|Jr|Sr|vs|No))(?<!\bMrs)(?<!\b(?:Fig|etc))"
    r"[.!?](?=[*_$)\"'`]{0,3}\s+(?![A-Z]\.)[A-Z\\(*\"])|[。！？](?=.)"
)
RETRACTION = re.compile(
    r"\s*(?:or\b|alternatively|actually|wait\b|but\b|no\b[,.]|however|hmm|sorry|correction|oops|maybe|perhaps)",
    re.I,
)


@lru_cache(maxsize=16)
def _pattern(languages: str) -> re.Pattern[str]:
    names = LANGUAGES if "all" in languages else tuple(re.split(r"[,+]", languages))
    parts = []
    for name in names:
        for phrase in PHRASES[name]:
            parts.append(rf"(?<![^\W_]){phrase}" if phrase[0].isascii() else phrase)
    return re.compile("|".join(parts), re.I)


def announced(text: str, languages: str = "all") -> list[tuple[int, int, int]]:
    """(begin, begin of the answer, end of the answer) of every statement, in order.

    An answer runs to the end of its sentence or line, and further if it is then taken back.
    """
    found: list[tuple[int, int, int]] = []
    if text.isascii() and not any(word in text for word in _HINTS):
        return found
    for match in list(_pattern(languages).finditer(text, max(0, len(text) - MAX_TEXT)))[
        -MAX_PHRASES:
    ]:
        clause = _clause_before(text, match.start())
        if _SUPPOSED.search(clause) or _OTHER.search(clause.rsplit(",", 1)[-1]):
            continue
        start = match.end() + (_LEAD.match(text, match.end()) or match).end() - match.end()
        end = _end(text, start)
        if found and _LABEL.fullmatch(text, found[-1][1], max(match.start(), found[-1][1])):
            found.pop()
        elif found and match.start() < found[-1][2]:  # "C is right, so the answer is C"
            joint = _JOINT.search(text, found[-1][1], match.start())
            found[-1] = (
                *found[-1][:2],
                joint.start() if joint else match.start(),
            )  # "Final answer: the answer is 5"
        found.append((match.start(), start, end))
    telling = [place for place in found if not _VAGUE.match(text, place[1])]
    return telling or found[-1:]


# "The answer is clear", "The answer is as follows"
_VAGUE = re.compile(
    r"\W*(?:clear|obvious|simple|easy|straightforward|found|given|shown|as follows|below|above|determined"
    r"|based|the one|that|what|which|to be|in the)\b",
    re.I,
)
_HINTS = ("nswer", "NSWER", "ption", "hoice", "orrect", "ight", "est", "inal", "evap", "ibu", "awaban",
          "ntwo", "spost", "spuest", "esult")  # fmt: skip


def _clause_before(text: str, at: int) -> str:
    before = text[max(0, at - 80) : at]
    ends = [match.end() for match in _CLAUSE.finditer(before)]
    return before[ends[-1] :] if ends else before


def _end(text: str, start: int) -> int:
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    match = SENTENCE_END.search(text, start, line_end)
    if match and text[match.start()] == "?":
        match = None  # "12? 13?"
    end = match.start() if match else line_end
    if RETRACTION.match(text, match.end() if match else end):
        more = SENTENCE_END.search(text, (match.end() if match else end) + 1)
        return max(line_end, more.start() + 1 if more else len(text))
    if match is None:  # a line that is just another answer belongs to it
        following = _NEXT_LINE.match(text, line_end)
        if following and _bare(following.group(2), apart=following.group(1).count("\n") > 1):
            return following.end()
    return end


_NEXT_LINE = re.compile(r"(\s*\n)[ \t]*([^\n]{1,120})")
_FORMULA = re.compile(r"[-+$(\[{\\\w*. ,/^}\])=<>|%°:`~]*")


_HEDGED = re.compile(r"\b(?:maybe|perhaps|possibly|alternatively)\b", re.I)
_CONDITION = re.compile(
    r"\s(?:because|since|as|which|where|when|while|if|given|with)\b|，?因为", re.I
)


def _bare(line: str, apart: bool) -> bool:
    """Whether a line is another answer: a formula or a letter, or right below a word or two."""
    line = _CONDITION.split(line)[0]  # "12 since it is smaller" is another answer too
    if re.match(r"\s*(?:[#<]|-+\s*(?![\s\d]))", line):
        return False
    numbered = re.match(r"\W*\d{1,2}[.)]\s", line)
    if not apart and not numbered and re.match(r"\W*(?:[\d\\]|[A-Za-z] ?=)", line):
        return "=" not in line or line.lstrip()[:1].isalpha()
    words = re.findall(r"(?<!\\)\b[^\W\d_]{2,}", line)
    if not apart and len(words) <= 5 and _HEDGED.search(line):
        return True
    if len(words) > 2 or line.rstrip().endswith(":"):
        return False
    if re.search(r"[\d\\]|^\W*[A-Za-z]\b", line):
        return _FORMULA.fullmatch(line) is not None
    label = re.match(r"\W*(?:explanation|reason|note|because)", line, re.I)
    return not apart and bool(words) and not label
