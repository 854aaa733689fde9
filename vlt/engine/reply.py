"""What a server's reply to a chat completion means: answers, retry, give up, or stop.

An answer with text is an answer, whatever its finish reason. One that was filtered, is empty or
was aborted is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, NamedTuple

from vlt.engine.finish_reason import BROKEN, FILTERED, LENGTH, meaning_of
from vlt.engine.lenient_json import loads
from vlt.engine.message import refusal_of, response_of
from vlt.engine.refusal import (
    REASON_CHARACTERS,
    Refused,
    TryAgain,
    error_in,
    failure,
    not_an_api,
    one_line,
)

__all__ = ["Choice", "Lost", "Refused", "Reply", "TryAgain", "read_reply"]

EMPTY_TRIES = 2
"""An empty answer may be an accident; a second one is taken as the model's answer."""


class Choice(NamedTuple):
    """One answer of a reply, with fields as in vlt.request.Completion."""

    response: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A choice that is not an answer."""

    reason: str
    tries: int | None = None
    """How often its request is worth sending in total; None: the engine's limit."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The contents of one reply, in the order of the requested samples."""

    choices: list[Choice | Lost]
    prompt_tokens: int
    completion_tokens: int
    counted: bool
    """Whether the server reported its token counts."""
    unknown: str = ""
    """An unknown finish reason, whose answer was kept."""


def read_reply(
    status: int, headers: Mapping[str, str], raw: bytes, url: str, model: str, proved: bool
) -> Reply:
    """The reply's contents; raises TryAgain, Refused, or UserError for what must stop the run.

    `proved`: this server has answered before, so that a strange reply is an accident; otherwise it is a
    sign that this is not an OpenAI-compatible API.
    """
    if status != 200:
        raise failure(status, headers, raw, url, model, proved)
    try:
        parsed = loads(raw)
    except ValueError:
        if not proved and not raw.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"{", b"data:")):
            raise not_an_api(url) from None
        raise TryAgain("the reply is not whole JSON") from None
    parsed = parsed if isinstance(parsed, dict) else {}
    choices = parsed.get("choices")
    if not choices and (inside := error_in(parsed)):
        raise failure(inside, headers, raw, url, model, proved)
    if "choices" not in parsed:
        if not proved:
            raise not_an_api(url)
        said = one_line(raw.decode(errors="replace"))[:REASON_CHARACTERS]
        raise TryAgain(f"the reply has no choices: {said}")
    try:
        return _read(_in_order(choices or []), parsed.get("usage"))
    except (AttributeError, KeyError, TypeError) as error:  # JSON, but not of this structure
        raise TryAgain(f"the reply is malformed ({error})") from error


def _read(choices: Sequence[Mapping[str, Any]], usage: Any) -> Reply:
    read, written = _usage(usage)
    unknown, found = "", []
    for choice in choices:
        ended, known = meaning_of(choice.get("finish_reason"))
        text = response_of(choice, cut=ended == LENGTH)
        lost = _lost(choice, ended, text)
        unknown = unknown if known or lost else ended
        found.append(lost or (text, ended))
    lengths = [0 if isinstance(one, Lost) else len(one[0]) for one in found]
    shares = _shares(written or 0, lengths)
    counted = read is not None and written is not None and bool(written or not any(lengths))
    return Reply(
        [
            one if isinstance(one, Lost) else Choice(*one, read or 0, share)
            for one, share in zip(found, shares, strict=True)
        ],
        read or 0,
        written or 0,
        counted,
        unknown,
    )


def _lost(choice: Mapping[str, Any], ended: str, text: str) -> Lost | None:
    """Why a choice is not an answer; None if it is one."""
    if ended == FILTERED:
        words = refusal_of(choice) or one_line(text)
        said = f": {words[:REASON_CHARACTERS]}" if words else ""
        return Lost(f"the server's content filter ended it{said}", tries=1)
    if ended == BROKEN:
        word = choice.get("finish_reason")
        error = choice.get("error")
        words = one_line(str(error.get("message") or error)) if isinstance(error, dict) else ""
        said = f" ({words[:REASON_CHARACTERS]})" if words else ""
        return Lost(f"the reply holds no answer: finish_reason is {word}{said}")
    if text and not text.isspace():
        return None
    if words := refusal_of(choice):
        return Lost(f"the model refused: {words[:REASON_CHARACTERS]}", tries=1)
    message = choice.get("message")
    if isinstance(message, dict) and (message.get("tool_calls") or message.get("function_call")):
        return Lost("the model called a tool in place of an answer", tries=1)
    if ended == LENGTH:
        return Lost("the model wrote no text within its limit of tokens", tries=1)
    return Lost("the model wrote nothing", tries=EMPTY_TRIES)


def _in_order(choices: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Sorted by index, if each has one: choice i has the seed of sample i."""
    if len(choices) < 2:
        return choices
    indices = [choice.get("index") for choice in choices]
    if sorted(i for i in indices if isinstance(i, int)) != list(range(len(choices))):
        return choices
    return sorted(choices, key=lambda choice: choice["index"])


def _usage(usage: Any) -> tuple[int | None, int | None]:
    """Tokens (read, written); None if the server does not report them."""
    if not isinstance(usage, dict):
        return None, None
    read, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if read is not None and written is not None:
        return read, written
    read = _count(usage.get("input_tokens")) if read is None else read
    written = _count(usage.get("output_tokens")) if written is None else written
    total = _count(usage.get("total_tokens"))
    if total is not None:
        read = total - written if read is None and written is not None else read
        written = total - read if written is None and read is not None else written
    return read, written


def _count(value: Any) -> int | None:
    """A number of tokens, which some servers send as text or as a float."""
    if type(value) is int and value >= 0:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if isfinite(number) and number >= 0 else None


def _shares(tokens: int, lengths: list[int]) -> list[int]:
    """Tokens of each choice, by its share of the characters: servers report only the total."""
    if len(lengths) == 1:
        return [tokens]
    ends, so_far, whole = [0], 0, max(1, sum(lengths))
    for length in lengths:
        so_far += length
        ends.append(tokens * so_far // whole)
    return [end - start for start, end in pairwise(ends)]
