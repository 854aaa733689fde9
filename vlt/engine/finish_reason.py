"""The finish reasons that servers use, and their meaning here: stop, length, or no answer."""

from __future__ import annotations

from typing import Any

STOP, LENGTH, FILTERED, BROKEN = "stop", "length", "content_filter", "abort"

_MEANINGS = {
    STOP: """
        stop eos eos_token end_turn stop_sequence stop_token stop_string stopped end end_of_text
        endoftext end_of_turn eot complete completed finish finished done success normal natural
        none null unspecified
    """,
    LENGTH: """
        length max_tokens max_length max_new_tokens max_output_tokens max_completion_tokens
        token_limit max_tokens_reached model_length context_length context_window
        model_context_window_exceeded truncated incomplete
    """,
    FILTERED: """
        content_filter content_filtered filtered safety image_safety recitation blocklist blocked
        prohibited_content spii refusal moderation guardrail guardrail_intervened sensitive
    """,
    # The server aborted the request: it is shutting down, or it failed.
    BROKEN: """
        abort aborted cancel cancelled canceled error failed failure timeout interrupted preempted
        insufficient_system_resource unavailable overloaded server_error network_error
    """,
}
_KNOWN = {word: meaning for meaning, words in _MEANINGS.items() for word in words.split()}


def meaning_of(found: Any) -> tuple[str, bool]:
    """(stop, length, content_filter, abort or the server's own word, whether it is known).

    A missing reason counts as `stop`: servers that leave it out send complete answers.
    """
    if found == STOP or found is None or found == "":
        return STOP, True
    if isinstance(found, dict):  # {"type": "stop"}
        found = found.get("type") or found.get("reason") or STOP
    word = str(found).strip()
    plain = word.lower().replace("-", "_").replace(" ", "_")
    plain = plain.removeprefix("finish_reason_").removeprefix("finishreason.")
    known = _KNOWN.get(plain)
    return (known, True) if known else (word[:100], False)
