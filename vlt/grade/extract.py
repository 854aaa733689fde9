"""Locating the answer in a response. Linear in its length.

After `</think>`, and up to a stop token or another question that the model asks itself: the
content of `<answer>`, else of `\\\\boxed{}`, else what is announced in words (`phrases`), else the
whole. Several of a kind are one answer if they are joined ("1 or 2", "x = 1, y = 2"); the last
one counts if it corrects the others; otherwise each of them must be correct.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from vlt.grade.blocks import Block, boxes_in, json_answer, tagged
from vlt.grade.phrases import announced

_GLM = re.compile(r"<\|(begin|end)_of_box\|>")
_STOP = re.compile(
    r"</s>|<eos>|<end_of_turn>|<\|(?:im_end|im_start|endoftext|eot_id|eom_id|end|end_of_text|return)\|>"
    r"|<｜end▁of▁sentence｜>"
)
_NEXT = re.compile(
    r"\n[ \t]{0,8}[#*_]{0,4} ?(?:(?:next|new|another|follow-?up) )?(?:question|problem|q|user|"
    r"human|instruction|问题|题目)"
    r"(?: ?\d{1,3})?[*_]{0,3} ?[:：]",
    re.I,
)
_JOINER = re.compile(
    r"(?:[\s,;/|&()、~$.{}\\]|text|quad|\band\b|\bor\b|\balso\b|\bmaybe\b|\bperhaps\b|\bpossibly\b|\belse\b"
    r"|和|或|及|与)+",
    re.I,
)
_CORRECTION = re.compile(
    r"\b(?:no|wait|actually|hmm|sorry|oops|mistake|error|correct(?:ed|ion|ing)|(?:re)?check\w*|instead|rather"
    r"|however|recalculat\w*|recomput\w*|let me|second thought|scratch|wrong|revis\w*|fix\w*)\b"
    r"|不对|等等|更正",
    re.I,
)
_CONCLUSION = re.compile(
    r"\b(?:then|so|thus|hence|therefore|finally|final|answer|conclu\w+|gives|get|total|overall)\b|所以|因此|答案",
    re.I,
)
# An earlier statement that is an answer: a number, a formula, a letter, or one or two words.
_BRIEF = re.compile(
    r"\W*(?:\d|\\|[A-Za-z]\b|(?:option|choice|yes|no|true|false)\b|\S+(?: \S+)?\W*$)",
    re.I,
)
_BEFORE = re.compile(
    r"(?:\bor|\bnot|n't|\bnever|\bneither|\bnor|\beither|\bthan|\bexcept|\bbut|\bunless"
    r"|\b(?:wrong|incorrect|previous) (?:answer|option|choice|one|value) (?:is|was)"
    r"|\b(?:twice|double|half)\b[^.\n]{0,30}?)[\s:*$({]*(?:the |a |an |be |is |\\text\{ ?)*[\s$({*:]*$",
    re.I,
)
_AFTER = re.compile(
    r"[\s$)}*.,]*(?:\bor\b|/ ?[\\\d]|\bmaybe\b|\bperhaps\b|\bpossibly\b|\?"
    r"|(?:is|was) (?:not|wrong|incorrect|never)\b|isn't\b|or\b|或)",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Found:
    """The answer located in a response."""

    predicted: str | None
    """The answer as the response wrote it; None if there is none."""
    spans: tuple[str, ...] = ()
    """The answers, each of which must be correct; empty if the answer is hedged."""
    how: str = "whole"
    """tags, boxes, words, json or whole."""


def split_reasoning(response: str) -> tuple[str, str]:
    """(content of `<think>`, text after `</think>`).

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
    """The final answer as the response wrote it, or None if it gave none."""
    return find(response).predicted


def find(response: str, languages: str = "all") -> Found:
    """Locate the final answer of a response."""
    _, text = split_reasoning(response)
    if "◁/think▷" in text:
        text = text[text.rfind("◁/think▷") + len("◁/think▷") :]
    if text.count("<answer>") == 1 and text.count("<") == 2 and text.rstrip().endswith("</answer>"):
        inner = text[text.find("<answer>") + 8 : text.rfind("</answer>")].strip()
        if inner.isalnum() and not text.lstrip().startswith("\\") and _plain(text):
            return Found(inner, (inner,), "tags")
    text = _first_reply(text, languages)
    if "_of_box|>" in text:
        text = _GLM.sub(lambda m: "<answer>" if m.group(1) == "begin" else "</answer>", text)
        text = re.sub(r"(?:<answer>\s*){2,}", "<answer>", text)
        text = re.sub(r"(?:</answer>\s*){2,}", "</answer>", text)
    blocks = tagged(text)
    if blocks:
        return _settled(text, blocks, "tags")
    if "boxed" in text or "\\fbox" in text:
        return _boxed(text, languages)
    return _stated(text, languages) or _alone(text)


def _plain(text: str) -> bool:
    """Whether only the tags' content can matter: no word before them denies it."""
    before = text[: text.find("<answer>")]
    return not _BEFORE.search(before[-60:]) if before else True


def _first_reply(text: str, languages: str) -> str:
    """The text without stop tokens, and without further questions that the model asks itself."""
    if "<" in text:
        at = 0
        stop = _STOP.search(text)
        while stop and not text[at : stop.start()].strip():
            at = stop.end()
            stop = _STOP.search(text, at)
        text = text[at : stop.start() if stop else len(text)]
    if "\n" in text:
        match = _NEXT.search(text)
        if match and match.start():
            before = text[: match.start()]
            if (
                "<answer>" in before
                or "boxed" in before
                or len(before.strip()) <= 60
                or announced(before, languages)
            ):
                return before
    return text


# -- blocks


def _settled(text: str, blocks: list[Block], how: str, depth: int = 0) -> Found:
    """The answer from several blocks, checking whether the text around them takes it back."""
    answers = [blocks[0][2]]
    first = blocks[0][0]
    for before, block in pairwise(blocks):
        between = text[before[1] : block[0]]
        bare = between.strip()
        if bare and len(bare) <= 40 and _JOINER.fullmatch(between):
            joint = re.sub(r"[$~{}]|\\text", " ", between)
            answers[-1] += re.sub(r"[/|]", " or ", joint) + block[2]
        elif _CORRECTION.search(between) or (how == "boxes" and _CONCLUSION.search(between)):
            answers, first = [block[2]], block[0]
        elif block[2].strip() != answers[-1].strip():
            answers.append(block[2])
    last = blocks[-1]
    window = text[max(0, first - 60) : first]
    if _BEFORE.search(window) or _AFTER.match(text, last[1]) or _answered_before(text[:first], how):
        stretch = text[max(0, first - 60) : last[1] + 60].strip()
        return Found(stretch, (), how)
    spans = []
    for answer in answers:
        inner = _unwrapped(answer, depth)
        if inner is None:
            return Found(answer.strip(), (), how)
        spans.append(inner)
    if len(spans) == 1:
        return Found(spans[0] or None, tuple(spans), how)
    return Found(text[first : last[1]].strip(), tuple(spans), how)


def _answered_before(before: str, how: str) -> bool:
    """Whether the text before a box is just another answer: `42 \\\\boxed{12}`."""
    bare = before.strip(" $*\n")
    return (
        how == "boxes"
        and 0 < len(bare) <= 12
        and bare[-1] not in "=:"
        and " " not in bare
        and (bare[0].isdigit() or len(bare) == 1)
    )


def _unwrapped(inner: str, depth: int) -> str | None:
    """The content of the box or JSON in a block, else the block's text; None for a hedge."""
    inner = inner.strip()
    if ("boxed" in inner or "\\fbox" in inner) and len(inner) < 20_000:
        boxes = boxes_in(inner)
        if boxes:
            found = _settled(inner, boxes, "boxes", depth + 1) if depth < 3 else Found(inner)
            return None if len(found.spans) != 1 else found.spans[0]
    if inner[:1] in "{`":
        value = json_answer(inner)
        return inner if value is None else value
    return inner


def _boxed(text: str, languages: str) -> Found:
    boxes = boxes_in(text)
    if not boxes:
        return _stated(text, languages) or _alone(text)
    found = _settled(text, boxes, "boxes")
    after = text[boxes[-1][1] :]
    stated = announced(after, languages)
    if stated:  # a letter stated after the box counts in its place: see `grader`
        _, start, end = stated[-1]
        return Found(found.predicted, (*found.spans, after[start:end].strip()), "boxes, words")
    return found


# -- words


def _stated(text: str, languages: str) -> Found | None:
    """The last statement, or all of them if they disagree and none corrects the others."""
    places = announced(text, languages)
    if not places:
        return None
    kept = [places[-1]]
    for place in reversed(places[:-1]):
        if not _BRIEF.match(text[place[1] : place[2]]):
            continue  # "the answer is the one that has the longest side"
        said = re.compile(r"\W*\w*").match(text, place[1])
        if _CORRECTION.search(text, said.end() if said else place[1], kept[-1][0]):
            break
        kept.append(place)
    spans = []
    for _, start, end in reversed(kept):
        span = text[start:end].strip()
        if span.endswith("!") and "$" not in span:
            span = span[:-1]  # in prose that is not a factorial
        if span not in spans:
            spans.append(span)
    if len(spans) == 1:
        value = json_answer(spans[0]) if spans[0][:1] in "{`" else None
        return Found(value or spans[0] or None, (value or spans[0],), "words")
    return Found(text[kept[-1][1] : kept[0][2]].strip(), tuple(spans), "words")


def _alone(text: str) -> Found:
    text = text.strip()
    value = json_answer(text) if text[:1] in "{`" else None
    if value is not None:
        return Found(value, (value,), "json")
    return Found(text or None, (text,) if text else ())
