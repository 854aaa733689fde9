"""The driver's view of one replica."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from vlt.engine.endpoint import Endpoint
from vlt.workspace.progress import ReplicaProgress

RATE_SECONDS = 10.0
"""The time over which requests per second are measured."""
WAITING, STARTING, READY, GIVEN_UP = "waiting", "starting", "ready", "given up"


@dataclass
class Member:
    """One replica."""

    number: int
    group: Any
    actor: Any
    state: str = WAITING
    pending: Any = None
    """The call to its actor that is under way."""
    ask_at: float = 0.0
    """time.monotonic(); not before then is it started."""
    host: str = ""
    endpoint: Endpoint | None = None
    proved: bool = False
    """Its server has started once."""
    failures: int = 0
    """Consecutive deaths and failed starts, without an answer in between."""
    error: str = ""
    """Why it was given up."""
    answers: int = 0
    """The number of requests that its earlier servers answered."""
    counted: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def total(self) -> int:
        """The number of requests that it has answered."""
        return self.answers + (self.endpoint.answers if self.endpoint else 0)

    def progress(self, now: float) -> ReplicaProgress:
        """Its state for `vlt status`; `now` is time.monotonic()."""
        return ReplicaProgress(
            replica=self.number, host=self.host, state=self.state, rate=self._rate(now)
        )

    def _rate(self, now: float) -> float:
        """Requests per second, lately."""
        self.counted.append((now, self.total))
        while self.counted[0][0] < now - RATE_SECONDS and len(self.counted) > 2:
            self.counted.popleft()
        (then, before), (_, total) = self.counted[0], self.counted[-1]
        return round((total - before) / (now - then), 2) if now > then else 0.0
