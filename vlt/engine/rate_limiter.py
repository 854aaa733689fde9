"""Requests and tokens per minute: when the next request may be sent."""

from __future__ import annotations

import asyncio
import time

MINUTE = 60.0


class RateLimiter:
    """Two clocks that advance with each request sent; a request waits until real time reaches both.

    Requests are spread evenly, without bursts. A request's tokens are known only from its reply: until
    then it is counted at the mean so far, and corrected afterwards.
    """

    def __init__(self, requests_a_minute: float | None, tokens_a_minute: float | None):
        self._request_seconds = MINUTE / requests_a_minute if requests_a_minute else 0.0
        self._token_seconds = MINUTE / tokens_a_minute if tokens_a_minute else 0.0
        self._requests_clock = self._tokens_clock = time.monotonic()
        self._replies = self._tokens = 0

    async def turn(self) -> float:
        """Wait for this request's turn; returns the number of tokens assumed for it."""
        now = time.monotonic()
        wait = max(self._requests_clock, self._tokens_clock) - now
        mean = self._tokens / self._replies if self._replies else 0.0
        self._requests_clock = max(now, self._requests_clock) + self._request_seconds
        self._tokens_clock = max(now, self._tokens_clock) + mean * self._token_seconds
        if wait > 0:
            await asyncio.sleep(wait)
        return mean

    def replied(self, tokens: int, counted_at: float) -> None:
        """Count a reply that took `tokens`, for a request assumed to take `counted_at`."""
        self._replies += 1
        self._tokens += tokens
        self._tokens_clock += (tokens - counted_at) * self._token_seconds
