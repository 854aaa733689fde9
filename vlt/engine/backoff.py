"""How long to wait before a request is tried again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_SECONDS = 0.5
CAP_SECONDS = 30.0
RETRY_AFTER_CAP_SECONDS = 600.0


def backoff(attempt: int, retry_after: float | None = None) -> float:
    """Seconds before try number `attempt` + 1: exponential with a cap and up to half of it as jitter.

    A server's own Retry-After is the minimum, with a little jitter so that requests rejected together
    do not return together.
    """
    if retry_after is not None:
        return min(retry_after, RETRY_AFTER_CAP_SECONDS) * random.uniform(1.0, 1.1)
    return min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: Retry-After-Ms, or Retry-After (seconds or a date)."""
    if milliseconds := headers.get("Retry-After-Ms"):
        return _seconds(milliseconds, 1000.0)
    if not (text := headers.get("Retry-After")):
        return None
    seconds = _seconds(text, 1.0)
    if seconds is not None:
        return seconds
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None  # neither a number nor a date: ignored
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def _seconds(text: str, divisor: float) -> float | None:
    try:
        return max(0.0, float(text) / divisor)
    except ValueError:
        return None
