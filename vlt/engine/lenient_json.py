"""JSON as servers really send it.

Most replies are valid JSON and parsed directly. Some contain half a surrogate pair or half a UTF-8
character (a server cut an emoji at the token limit), NaN, a byte-order mark, or come as a stream of
events although none was requested: their answers are as good as any.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_SURROGATES = re.compile("[\ud800-\udfff]")


def loads(raw: bytes) -> Any:
    """The value, with U+FFFD for invalid characters. Raises ValueError if it is incomplete."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    text = raw.decode("utf-8-sig", errors="replace").strip()
    if text.startswith(("data:", "event:", ": ")):
        return _joined(text)
    return _parsed(text)


def _parsed(text: str) -> Any:
    try:
        # Python's own parser takes NaN, lone surrogates and control characters.
        return _clean(json.loads(text, strict=False))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub("�", value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(one) for key, one in value.items()}
    return value


def _joined(text: str) -> Any:
    """The events of a stream combined into one reply."""
    reply: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    ended = False
    for line in text.split("\n"):
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if ended := data == "[DONE]":
            break
        event = _parsed(data)
        if not isinstance(event, dict) or "choices" not in event:
            return event  # an error in place of an answer
        reply.update({key: value for key, value in event.items() if value is not None})
        for choice in event["choices"] or ():
            index = choice.get("index") or 0
            whole = choices.setdefault(index, {"index": index, "message": {}})
            whole["finish_reason"] = choice.get("finish_reason") or whole.get("finish_reason")
            for key, piece in (choice.get("delta") or choice.get("message") or {}).items():
                if isinstance(piece, str) and key != "role":
                    whole["message"][key] = whole["message"].get(key, "") + piece
    if not ended and not all(choice["finish_reason"] for choice in choices.values()):
        raise ValueError("the stream breaks off")
    return {**reply, "choices": list(choices.values())}
