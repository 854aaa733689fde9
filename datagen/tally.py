"""The progress of a generation stage, as one line of text."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from vlt.engine.budget import Price
from vlt.request import Completion
from vlt.workspace.progress import BASIS_SHARE, duration, has_basis

PROGRESS_SECONDS = 0.5


@dataclass
class Tally:
    """The progress of a stage, in samples."""

    total: int
    journaled: int = 0
    """Found in the journal so far."""
    arrived: int = 0
    failed: int = 0
    tokens: int = 0
    """Completion tokens in this run."""
    prompt_tokens: int = 0
    """Prompt tokens in this run."""
    uncounted: int = 0
    """Answers without token counts from the server."""
    cut: int = 0
    """Answers that reached the token limit."""
    price: Price | None = None
    started: float = field(default_factory=time.monotonic)
    shown: float = 0.0

    @property
    def seconds(self) -> float:
        """Time since the first row was read."""
        return max(1e-9, time.monotonic() - self.started)

    def count(self, completion: Completion, *, last: bool) -> None:
        """Count an answer that has arrived; `last`: it is the last one of its request."""
        self.arrived += 1
        self.tokens += completion.completion_tokens
        self.cut += completion.finish_reason == "length"
        self.uncounted += not completion.completion_tokens and bool(completion.response)
        # If it is unknown how often the prompt was sent, the samples of a request share it.
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
        """Samples that are finished, answered or not."""
        return self.journaled + self.arrived + self.failed

    @property
    def speed(self) -> float | None:
        """Samples per second; None until enough have arrived for an estimate.

        The first answers wait for the model to load or the server to warm up, however long that takes.
        """
        asked = self.arrived + self.failed
        share = asked / max(1, self.total)
        known = share >= BASIS_SHARE and has_basis(self.seconds, share)
        return asked / self.seconds if known else None

    def line(self) -> str:
        """Samples done, speed, failures and the time left, as text."""
        seconds, done = self.seconds, self.done
        speed = (self.arrived + self.failed) / seconds
        parts = [f"{done:,}/{self.total:,} samples", f"{speed:,.1f}/s"]
        parts += [f"{self.tokens / seconds:,.0f} tokens/s"] if not self.uncounted else []
        if self.price and not self.uncounted:
            parts += [f"${self.price.of(self.prompt_tokens, self.tokens):,.2f}"]
        parts += [f"{self.journaled:,} from the journal"] if self.journaled else []
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"{self.cut / self.arrived:.0%} cut"] if self.cut else []
        if self.speed:
            parts += [f"{duration((self.total - done) / self.speed)} left"]
        return ", ".join(parts)
