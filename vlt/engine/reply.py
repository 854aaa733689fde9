"""What a server's reply to a chat completion means: answers, try again, give up, or stop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from vlt.engine.backoff import retry_after
from vlt.errors import UserError

ANSWERS = ("stop", "length")
"""The finish reasons of answers. A server that is being stopped ends requests with others."""
RETRIED = (408, 409, 425, 429)
"""Statuses below 500 that pass; those from 500 on are tried again too."""
OVERLOADED = (429, 503, 529)
"""Statuses that ask for fewer requests at a time."""
_NO_SUCH_MODEL = re.compile(r"model[^.]*(does ?n[o']t exist|not found|not exist|unknown)", re.I)
_REASON_CHARACTERS = 300


class TryAgain(Exception):
    """The request may succeed later."""

    def __init__(self, reason: str, *, wait: float | None = None, overloaded: bool = False):
        super().__init__(reason)
        self.reason, self.wait, self.overloaded = reason, wait, overloaded


class Refused(Exception):
    """The same request would be refused again."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Choice(NamedTuple):
    """One answer of a reply, as vlt.request.Completion has it."""

    response: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers of one reply, in order; choices whose finish reason is another are left out."""

    choices: list[Choice]
    prompt_tokens: int
    completion_tokens: int
    unfinished: str
    """The finish reason of a choice that was left out, else empty."""


def read_reply(
    status: int, headers: Mapping[str, str], raw: bytes, url: str, model: str, proved: bool
) -> Reply:
    """The reply's answers, else TryAgain, Refused, or UserError for what stops the run.

    `proved` says that this server has answered before: a strange reply is then an accident, and
    before that the sign of something that is not an OpenAI-compatible API.
    """
    if status == 200:
        try:
            return _answers(raw, url, proved)
        except (AttributeError, KeyError, TypeError) as error:  # JSON, but of another shape
            raise TryAgain(f"the reply is malformed ({error})") from error
    words, code = _error(raw)
    reason = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    if status in (401, 403):
        raise UserError(
            f"{url} refuses the key ({reason}); set OPENAI_API_KEY to a key that it knows"
        )
    if code == "insufficient_quota" or status == 402:
        raise UserError(f"{url} has no credit left for this key ({reason}); add some and run again")
    if status in (400, 404) and (code == "model_not_found" or _NO_SUCH_MODEL.search(words)):
        raise UserError(
            f"{url} does not serve the model {model!r} ({reason}); {url}/models lists what it does"
        )
    if status in (404, 405) and not proved:
        raise UserError(
            f"{url} is not an OpenAI-compatible API ({reason}); --base-url usually ends in /v1"
        )
    if status in RETRIED or status >= 500:
        wait = retry_after(headers)
        raise TryAgain(reason, wait=wait, overloaded=status in OVERLOADED)
    raise Refused(reason)


def _answers(raw: bytes, url: str, proved: bool) -> Reply:
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError:
        if not proved and not raw.lstrip().startswith(b"{"):
            raise _not_an_api(url) from None
        raise TryAgain("the reply is not whole JSON") from None
    if not isinstance(parsed, dict):
        parsed = {}
    if "choices" not in parsed:
        if not proved and "error" not in parsed:
            raise _not_an_api(url)
        raise TryAgain(
            f"the reply has no choices: {raw[:_REASON_CHARACTERS].decode(errors='replace')}"
        )
    choices, unfinished = [], ""
    for choice in parsed["choices"] or ():
        if choice.get("finish_reason") in ANSWERS:
            message = choice.get("message") or {}
            choices.append((_response(message, choice["finish_reason"]), choice["finish_reason"]))
        else:
            unfinished = str(choice.get("finish_reason"))
    usage = parsed.get("usage") or {}
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    shares = _shares(written, [len(text) for text, _ in choices])
    return Reply(
        [Choice(*choice, read, share) for choice, share in zip(choices, shares, strict=True)],
        read,
        written,
        unfinished,
    )


def _response(message: Mapping[str, Any], finish_reason: str) -> str:
    """All that the model wrote; reasoning that a server had set apart is joined back in."""
    content = message.get("content") or ""
    if isinstance(content, list):  # some servers answer in parts
        content = "".join(part.get("text") or "" for part in content)
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if not reasoning:
        return content
    if not content and finish_reason == "length":
        return f"<think>{reasoning}"  # it was cut while it thought
    gap = "" if content[:1].isspace() else "\n\n"
    return f"<think>{reasoning}</think>{gap}{content}"


def _shares(tokens: int, lengths: list[int]) -> list[int]:
    """Tokens of each choice, by its share of the characters: servers count all together."""
    if len(lengths) == 1:
        return [tokens]
    ends, so_far, whole = [0], 0, max(1, sum(lengths))
    for length in lengths:
        so_far += length
        ends.append(tokens * so_far // whole)
    return [end - start for start, end in pairwise(ends)]


def _error(raw: bytes) -> tuple[str, str]:
    """The server's words on an error, on one line, and its code; both may be empty."""
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError:
        parsed = raw.decode(errors="replace")
    code = ""
    if isinstance(parsed, dict):
        parsed = parsed.get("error") or parsed.get("message") or parsed.get("detail") or ""
    if isinstance(parsed, dict):
        code = str(parsed.get("code") or "")
        parsed = parsed.get("message") or parsed
    return " ".join(str(parsed).split())[:_REASON_CHARACTERS], code


def _not_an_api(url: str) -> UserError:
    return UserError(
        f"{url} is not an OpenAI-compatible API (it answers, but not with chat completions); "
        "--base-url usually ends in /v1"
    )
