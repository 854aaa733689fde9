"""The API key for servers; it comes from the environment and is never written to a file."""

from __future__ import annotations

import os

from vlt.errors import UsageError

VARIABLE = "OPENAI_API_KEY"


def key_to_send(given: str | None = None) -> str | None:
    """`given`, or the environment's, without surrounding whitespace from copying.

    Raises UsageError for one that an HTTP header cannot carry, without showing it.
    """
    key = (given or os.environ.get(VARIABLE) or "").strip()
    if not key.isascii() or not key.isprintable():
        raise UsageError(
            f"the key in {VARIABLE} has a character that no key has (a line break, a control character "
            "or a non-ASCII letter); copy it again"
        )
    return key or None
