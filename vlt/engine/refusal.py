"""What a server's error means: retry the request, give it up, or stop the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from vlt.engine.backoff import retry_after
from vlt.engine.lenient_json import loads
from vlt.errors import UserError

RETRIED = (408, 409, 425, 429)
"""Temporary statuses below 500; all from 500 on are retried too."""
OVERLOADED = (429, 503, 529)
"""Statuses that ask for fewer concurrent requests."""
REASON_CHARACTERS = 300
_NO_SUCH_MODEL = re.compile(r"model[^.]*(does ?n[o']t exist|not found|not exist|unknown)", re.I)
_LOADING = re.compile(
    r"\bload(?:ing|s)?\b|\bwarming\b|\bstarting\b|not (?:yet )?(?:ready|loaded)|no healthy upstream",
    re.I,
)
_MODEL_LOADING = re.compile(
    r"\bloading (?:the )?model\b|model\b.{0,80}?\b(?:still|currently) loading", re.I
)
_TOO_LONG = re.compile(r"context (?:length|window|size)|too long|too many tokens", re.I)
_BY_TYPE = (
    (re.compile(r"badrequest|invalid_request|validation", re.I), 400),
    (re.compile(r"authentication|permission|unauthorized", re.I), 401),
    (re.compile(r"not_?found", re.I), 404),
    (re.compile(r"rate_?limit", re.I), 429),
)
_SERVER_ERROR = 500
_TAG = re.compile(r"<(?:style|script)\b.{0,5000}?</|<[^<>]{0,500}>", re.I | re.S)


class TryAgain(Exception):
    """The request may succeed later."""

    def __init__(
        self,
        reason: str,
        *,
        wait: float | None = None,
        overloaded: bool = False,
        unready: bool = False,
        loading: bool = False,
        tries: int | None = None,
    ):
        super().__init__(reason)
        self.reason, self.wait, self.overloaded = reason, wait, overloaded
        self.unready = unready
        """The server cannot answer anything now (503)."""
        self.loading = loading
        """The server is still loading its model."""
        self.tries = tries
        """How often the request is worth sending in total; None: the engine's limit."""


class Refused(Exception):
    """The same request would be refused again."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class UnknownModel(UserError):
    """The server does not serve the requested model."""

    def __init__(self, url: str, model: str, reason: str, listed: list[str] | None = None):
        advice = f"it lists {named(listed)}" if listed else f"{url}/models lists what it serves"
        super().__init__(f"{url} does not serve the model {model!r} ({reason}); {advice}")
        self.reason = reason


def failure(
    status: int, headers: Mapping[str, str], raw: bytes, url: str, model: str, proved: bool
) -> Exception:
    """What to raise for an error reply; `proved` as in vlt.engine.reply.read_reply."""
    words, code = _said(raw)
    reason = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    if status in (401, 403):
        return UserError(
            f"{url} rejects the key ({reason}); set OPENAI_API_KEY to a key that it accepts"
        )
    if code == "insufficient_quota" or status == 402:
        return UserError(
            f"{url} has no credit left for this key ({reason}); add some and run the command again"
        )
    if status in (400, 404) and (code == "model_not_found" or _NO_SUCH_MODEL.search(words)):
        return UnknownModel(url, model, reason)
    if 300 <= status < 400:
        place = urljoin(f"{url}/chat/completions", str(headers.get("Location") or ""))
        return UserError(
            f"{url} redirects to {place} ({reason}); give that address as --base-url, without "
            "/chat/completions"
        )
    if status in (404, 405) and not proved:
        return not_an_api(url, reason)
    if status in RETRIED or status >= 500:
        words_of_it = _LOADING if status == 503 else _MODEL_LOADING
        loading = status >= 500 and bool(words_of_it.search(words))
        return TryAgain(
            reason,
            wait=retry_after(headers),
            overloaded=status in OVERLOADED,
            unready=status == 503 or loading,
            loading=loading,
        )
    return Refused(reason)


def error_in(parsed: Mapping[str, Any]) -> int | None:
    """The HTTP status that an error inside a reply of status 200 should have had; None: no error."""
    error = parsed.get("error")
    if not error and parsed.get("object") != "error":
        message = parsed.get("message") or parsed.get("detail")
        if not (message and (parsed.get("code") or parsed.get("type") or parsed.get("status"))):
            return None
    fields = error if isinstance(error, Mapping) else parsed
    for code in (fields.get("code"), fields.get("status"), fields.get("status_code")):
        try:
            status = int(code)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if 400 <= status < 600:
            return status
    kind = f"{fields.get('type') or ''} {fields.get('code') or ''}"
    words = str(fields.get("message") or error or "")
    if _NO_SUCH_MODEL.search(words):
        return 404
    if _TOO_LONG.search(words):
        return 400
    return next((status for pattern, status in _BY_TYPE if pattern.search(kind)), _SERVER_ERROR)


def not_an_api(url: str, reason: str = "it answers, but not with chat completions") -> UserError:
    """The error for a server that has never answered a chat completion."""
    return UserError(
        f"{url} is not an OpenAI-compatible API ({reason}); --base-url usually ends in /v1"
    )


def named(names: list[str], most: int = 8) -> str:
    """'a', 'b' and 3 more"""
    shown = ", ".join(map(repr, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def one_line(text: str) -> str:
    """A text without line breaks or repeated spaces."""
    return " ".join(text.split())


def _said(raw: bytes) -> tuple[str, str]:
    """The server's error message, on one line, and its code; both may be empty."""
    try:
        parsed = loads(raw)
    except ValueError:
        parsed = _TAG.sub(" ", raw.decode(errors="replace"))
    code = ""
    if isinstance(parsed, dict):
        parsed = parsed.get("error") or parsed.get("message") or parsed.get("detail") or ""
    if isinstance(parsed, dict):
        code = str(parsed.get("code") or "")
        parsed = parsed.get("message") or parsed
    return one_line(str(parsed))[:REASON_CHARACTERS], code
