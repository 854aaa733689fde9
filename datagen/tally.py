"""How far a generation stage has come, as a line for people."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from vlt.engine.budget import Price
from vlt.request import Completion
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
    uncounted: int = 0
    """Answers of which the server did not say what they took."""
    cut: int = 0
    """Answers that came to the limit of their tokens."""
    price: Price | None = None
    started: float = field(default_factory=time.monotonic)
    shown: float = 0.0

    @property
    def seconds(self) -> float:
        """Since the first row was looked at."""
        return max(1e-9, time.monotonic() - self.started)

    def count(self, completion: Completion, *, last: bool) -> None:
        """An answer has arrived; `last`: of its request."""
        self.arrived += 1
        self.tokens += completion.completion_tokens
        self.cut += completion.finish_reason == "length"
        self.uncounted += not completion.completion_tokens and bool(completion.response)
        # Where nobody says how often the prompt was sent, the samples of a request share it.
        self.prompt_tokens += completion.prompt_tokens * (
            last if completion.prompts is None else completion.prompts
        )

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
        parts += [f"{self.tokens / seconds:,.0f} tokens/s"] if not self.uncounted else []
        if self.price and not self.uncounted:
            parts += [f"${self.price.of(self.prompt_tokens, self.tokens):,.2f}"]
        parts += [f"{self.had:,} from the journal"] if self.had else []
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"{self.cut / self.arrived:.0%} cut"] if self.cut else []
        if self.speed:
            parts += [f"{duration((self.total - done) / self.speed)} left"]
        return ", ".join(parts)
