"""Engines answer requests. One protocol; `openai` and `local` are its two kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from vlt.request import Completion, Failure, Request

LoadImage = Callable[[str], bytes]
"""sha256 -> the encoded image's bytes."""


class Engine(Protocol):
    """Answers requests in any order, as they finish."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion | Failure]:
        """Yield one Completion for each requested sample, or a Failure that names those given up.

        Requests are drawn lazily, never more than the engine can have in flight. One bad request
        becomes a Failure and does not affect others. Raises UserError for what no retry can fix
        (a wrong key, an unknown model, no server).
        """
        ...

    def close(self) -> None:
        """Free the engine's resources; call it when nothing is in flight."""
        ...
