"""Requests and tokens a minute: when the next request may be sent."""

from __future__ import annotations

import asyncio
import time

MINUTE = 60.0


class RateLimiter:
    """Two clocks that run ahead of time by what was sent; a request waits until both have come.

    Requests are spread evenly, without bursts. A request's tokens are known only when its reply has
    come: it is counted at the mean so far, and put right then.
    """

    def __init__(self, requests_a_minute: float | None, tokens_a_minute: float | None):
        self._request_seconds = MINUTE / requests_a_minute if requests_a_minute else 0.0
        self._token_seconds = MINUTE / tokens_a_minute if tokens_a_minute else 0.0
        self._requests_clock = self._tokens_clock = time.monotonic()
        self._replies = self._tokens = 0

    async def turn(self) -> float:
        """Wait for this request's turn; returns the tokens that it was counted at."""
        now = time.monotonic()
        wait = max(self._requests_clock, self._tokens_clock) - now
        mean = self._tokens / self._replies if self._replies else 0.0
        self._requests_clock = max(now, self._requests_clock) + self._request_seconds
        self._tokens_clock = max(now, self._tokens_clock) + mean * self._token_seconds
        if wait > 0:
            await asyncio.sleep(wait)
        return mean

    def replied(self, tokens: int, counted_at: float) -> None:
        """A reply has come that cost so many tokens."""
        self._replies += 1
        self._tokens += tokens
        self._tokens_clock += (tokens - counted_at) * self._token_seconds
