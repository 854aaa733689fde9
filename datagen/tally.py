"""How far a generation stage has come, as a line for people."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from vlt.engine.budget import Price
from vlt.workspace.progress import duration

PROGRESS_SECONDS = 0.5


@dataclass
class Tally:
    """How far a stage has come, in samples."""

    total: int
    had: int = 0
    """Found in the journal so far."""
    arrived: int = 0
    failed: int = 0
    tokens: int = 0
    """Written by the model in this run."""
    prompt_tokens: int = 0
    """Read by it."""
    price: Price | None = None
    started: float = field(default_factory=time.monotonic)
    shown: float = 0.0

    @property
    def seconds(self) -> float:
        """Since the first row was looked at."""
        return max(1e-9, time.monotonic() - self.started)

    def due(self) -> bool:
        """Whether it is time for another line."""
        now = time.monotonic()
        if now - self.shown < PROGRESS_SECONDS:
            return False
        self.shown = now
        return True

    @property
    def done(self) -> int:
        """Samples that nobody waits for any more."""
        return self.had + self.arrived + self.failed

    @property
    def speed(self) -> float | None:
        """Samples a second; None so far.

        The first answers wait for the model to load or the server to warm up: they tell no speed.
        """
        asked = self.arrived + self.failed
        return asked / self.seconds if asked and asked >= self.total / 50 else None

    def line(self) -> str:
        """Done, speed, failures and the time left, for people."""
        seconds, done = self.seconds, self.done
        speed = (self.arrived + self.failed) / seconds
        parts = [f"{done:,}/{self.total:,} samples", f"{speed:,.1f}/s"]
        parts += [f"{self.tokens / seconds:,.0f} tokens/s"]
        if self.price:
            parts += [f"${self.price.of(self.prompt_tokens, self.tokens):,.2f}"]
        parts += [f"{self.had:,} from the journal"] if self.had else []
        parts += [f"{self.failed:,} failed"] if self.failed else []
        if self.speed:
            parts += [f"{duration((self.total - done) / self.speed)} left"]
        return ", ".join(parts)
