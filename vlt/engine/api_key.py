"""The key that a server is asked with; it comes from the environment and reaches no file."""

from __future__ import annotations

import os

from vlt.errors import UsageError

VARIABLE = "OPENAI_API_KEY"


def key_to_send(given: str | None = None) -> str | None:
    """`given`, or the environment's, without the space and line ends that copying leaves around it.

    Raises UsageError for one that no HTTP header can carry, without showing it.
    """
    key = (given or os.environ.get(VARIABLE) or "").strip()
    if not key.isascii() or not key.isprintable():
        raise UsageError(
            f"the key in {VARIABLE} has a character that no key has (a line end, a control or a "
            "letter beyond ASCII); copy it again"
        )
    return key or None
