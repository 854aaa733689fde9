"""One replica, as the driver knows it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlt.engine.endpoint import Endpoint
from vlt.workspace.progress import ReplicaProgress

RATE_SECONDS = 10.0
"""Over which requests a second are told."""
WAITING, STARTING, READY, GIVEN_UP = "waiting", "starting", "ready", "given up"


@dataclass
class Member:
    """One replica."""

    number: int
    log: Path
    group: Any
    actor: Any
    state: str = WAITING
    pending: Any = None
    """What its actor was asked."""
    ask_at: float = 0.0
    """time.monotonic(); when it is asked to start."""
    host: str = ""
    endpoint: Endpoint | None = None
    proved: bool = False
    """Its server has answered once."""
    failures: int = 0
    """Deaths and failed starts in a row, without an answer in between."""
    error: str = ""
    """Of a replica that is given up."""
    answers: int = 0
    """By the servers that it had before."""
    counted: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def total(self) -> int:
        """Requests that it has answered."""
        return self.answers + (self.endpoint.answers if self.endpoint else 0)

    def progress(self, now: float) -> ReplicaProgress:
        """For others to see; `now` is time.monotonic()."""
        return ReplicaProgress(
            replica=self.number, host=self.host, state=self.state, rate=self._rate(now)
        )

    def _rate(self, now: float) -> float:
        """Requests a second, of late."""
        self.counted.append((now, self.total))
        while self.counted[0][0] < now - RATE_SECONDS and len(self.counted) > 2:
            self.counted.popleft()
        (then, before), (_, total) = self.counted[0], self.counted[-1]
        return round((total - before) / (now - then), 2) if now > then else 0.0
