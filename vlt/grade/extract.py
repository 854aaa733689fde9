"""Find the final answer in a response. Linear in its length.

The order is that of the convention: after `</think>`, the last `<answer>`, else the last
`\\boxed{}`, else the words after "answer is", else (a response that is nothing but an answer)
the whole of it.
"""

from __future__ import annotations

import re

_ANSWER_OPEN = re.compile(r"<answer>", re.I)
_ANSWER_CLOSE = re.compile(r"</answer>", re.I)
_ANSWER = re.compile(r"answer", re.I)
MAX_PHRASES = 200
"""So many of the last mentions of "answer" are looked at."""
# "The (final) answer (to the question) is: ..." and "Answer: ...". Bounded, hence linear.
_ANSWER_IS = re.compile(
    r"answers?\b[^\S\n]{0,3}[*_]{0,3}"
    r"(?:(?:\s{1,3}(?:to|for|of)\b[^.:\n]{0,80}?)?\s{1,3}(?:is|are|was|would be|must be|should be)\b"
    r"|\s{0,3}[:=\uff1a])",
    re.I,
)
_HEADING = re.compile(r"\bfinal answer\b[ \t*_#:]{0,8}\n", re.I)
# A sentence ends at ". " before a capital, but not inside "U.S. Army" or after "3 p.m.".
_SENTENCE_END = re.compile(
    r"(?<!\.[A-Za-z])(?<!\b[Aa]pprox)(?<!\b[MD]r)(?<!\bSt)[.!?](?=[*_$)\"']{0,3}\s+[A-Z\\(*\"])"
)
_LEAD = re.compile(r"\A[\s:\uff1a]*(?:[*_]{1,3}(?=\s))?\s*")
_ADVERB = re.compile(
    r"(?:therefore|thus|hence|then|simply|just|clearly|obviously|indeed|definitely|actually)\b[,:]?\s+",
    re.I,
)
_RETRACTION = re.compile(
    r"\s*(?:or\b|alternatively|actually|wait\b|but\b|no,|however|hmm|sorry|correction)", re.I
)
_JOINER = re.compile(r"[\s,$.;]*(?:\bor\b|\band\b|,)[\s$]*\Z", re.I)


def split_reasoning(response: str) -> tuple[str, str]:
    """(what stands inside `<think>`, what follows `</think>`).

    Chat templates often put the opening `<think>` into the prompt, so a response may begin inside
    it. A response cut before `</think>` is all reasoning; one without either tag has none.
    """
    cut = response.rfind("</think>")
    start = response.find("<think>", 0, cut if cut >= 0 else len(response))
    if cut < 0:
        if start < 0:
            return "", response
        return response[start + len("<think>") :].strip(), ""
    reasoning = response[:cut] if start < 0 else response[start + len("<think>") : cut]
    rest = response[cut + len("</think>") :]
    again = rest.find("<think>")
    if again >= 0:  # opened once more and never closed
        reasoning, rest = reasoning + "\n" + rest[again + len("<think>") :], rest[:again]
    return reasoning.strip(), rest.strip()


def extract(response: str) -> str | None:
    """The final answer as the response wrote it, or None when it gave none."""
    _, rest = split_reasoning(response)
    found = _tagged(rest)
    if found is None:
        return _untagged(rest)
    return _unwrap(found)


def _tagged(text: str) -> str | None:
    """What stands in the last `<answer>`; an unclosed one runs to the end of the text."""
    at = text.rfind("<answer>")
    if at >= 0:
        start = at + len("<answer>")
        end = text.find("</answer>", start)
        if end >= 0:
            return _joined_tags(text, at, text[start:end])
        if "</" not in text[start:]:
            return text[start:]
    if at < 0 and ("<ANSWER>" not in text and "<Answer>" not in text):
        return None
    opened = list(_ANSWER_OPEN.finditer(text))
    if not opened:
        return None
    last = opened[-1]
    close = _ANSWER_CLOSE.search(text, last.end())
    return text[last.end() : close.start() if close else len(text)]


def _joined_tags(text: str, at: int, inner: str) -> str:
    """`<answer>A</answer> or <answer>B</answer>` is one hedged answer, not B."""
    before = text[max(0, at - 24) : at]
    close = before.rfind("</answer>")
    if close >= 0:
        joint = before[close + len("</answer>") :]
        if joint.strip() and _JOINER.match(joint):
            start = text.rfind("<answer>", 0, at)
            if start >= 0:
                return text[start + len("<answer>") : at].replace("</answer>", "") + inner
    return inner


def _unwrap(found: str) -> str | None:
    """Peel `\\boxed{}` and "the answer is" off what stood in the tags."""
    found = found.strip()
    if "oxed" in found:
        boxed = _boxed(found)
        if boxed is not None:
            return boxed.strip() or None
    if "nswer" in found:
        said = _said(found)
        if said is not None:
            return said or None
    return found or None


def _untagged(text: str) -> str | None:
    boxed = _boxed(text) if "oxed" in text else None
    if boxed is not None:
        return boxed.strip() or None
    lowered_hint = "nswer" in text or "NSWER" in text
    said = _said(text) if lowered_hint else None
    if said is not None:
        return said or None
    return text.strip() or None


def _boxed(text: str) -> str | None:
    """What stands in the last `\\boxed{}` (or `\\fbox{}`), braces balanced."""
    at = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if at < 0:
        return None
    start = at + (6 if text.startswith("\\boxed", at) else 5)
    while start < len(text) and text[start] == " ":
        start += 1
    if start >= len(text):
        return ""
    if text[start] != "{":
        return text[start:].split()[0].rstrip("$.,") if text[start:].split() else ""
    inner = text[start + 1 : _closing(text, start)]
    before = text[:at]
    joint = _JOINER.search(before[-16:])
    if joint and joint.group().strip():
        earlier = max(before.rfind("\\boxed{"), before.rfind("\\fbox{"))
        if earlier >= 0:
            open_at = before.find("{", earlier)
            end = _closing(before, open_at)
            between = before[end + 1 :]
            if len(between) < 16 and _JOINER.match(between):
                return before[open_at + 1 : end] + between.replace("$", "") + inner
    return inner


def _closing(text: str, open_at: int) -> int:
    """The index of the brace that closes the one at `open_at`, or the text's end."""
    depth = 0
    for match in re.compile(r"\\.|[{}]", re.S).finditer(text, open_at):
        token = match.group()
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if depth == 0:
                return match.start()
    return len(text)


def _said(text: str) -> str | None:
    """The words after the last "answer is", up to the end of their sentence or line."""
    last = None
    for word in list(_ANSWER.finditer(text))[: -MAX_PHRASES - 1 : -1]:
        last = _ANSWER_IS.match(text, word.start())
        if last is not None:
            break
    if last is None:
        headings = list(_HEADING.finditer(text))
        if not headings:
            return None
        last = headings[-1]
    tail = _LEAD.sub("", text[last.end() :], count=1)
    line = tail.split("\n", 1)[0]
    end = _SENTENCE_END.search(line)
    if end and not _RETRACTION.match(line, end.end()):
        line = line[: end.start()]
    line = line.strip()
    if line.endswith("!") and "$" not in line:
        line = line[:-1]  # in prose that is no factorial
    return _ADVERB.sub("", line)
