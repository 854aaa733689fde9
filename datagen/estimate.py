"""What a generation stage would request, counted without sending anything, or after a few requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vlt.datagen.tally import Tally
from vlt.engine.budget import Price
from vlt.plural import plural
from vlt.workspace.progress import duration


@dataclass
class Plan:
    """Counts of a dry run. The answers to a probe's requests are in the journal."""

    requests: int
    """New requests after the probe; a server that ignores n gets one per sample."""
    samples: int
    """New samples after the probe."""
    seconds: float
    """Duration of the probe."""
    tally: Tally

    def summary(self, price: Price | None) -> dict[str, Any]:
        """As `--dry-run --json` prints it; `expected` is null without a probe."""
        tally = self.tally
        found: dict[str, Any] = {
            "samples": tally.total,
            "in_journal": tally.journaled,
            "probed": tally.arrived,
            "cannot_be_asked": tally.failed,
            "new_samples": self.samples,
            "new_requests": self.requests,
            "expected": None,
        }
        if tally.arrived and not tally.uncounted:
            each = self.samples / tally.arrived
            prompt, completion = tally.prompt_tokens * each, tally.tokens * each
            found["expected"] = {
                "prompt_tokens": round(prompt),
                "completion_tokens": round(completion),
                "seconds": round(self.seconds * each, 1),
                "money": round(price.of(prompt, completion), 4) if price else None,
            }
        return found

    def lines(self, price: Price | None) -> list[str]:
        """As `--dry-run` prints it."""
        found = self.summary(price)
        there = f"; {found['in_journal']:,} are in the journal" if found["in_journal"] else ""
        lines = [
            f"{found['new_samples']:,} of {plural(found['samples'], 'sample')} would be requested, in "
            f"{plural(found['new_requests'], 'request')}{there}"
        ]
        if found["probed"]:
            lines.append(f"{plural(found['probed'], 'sample')} requested as a probe, and kept")
        if found["cannot_be_asked"]:
            lines.append(
                f"{plural(found['cannot_be_asked'], 'sample')} failed or cannot be requested"
            )
        if expected := found["expected"]:
            money = expected["money"]
            cost = f", ${money:,.2f}" if money is not None else " (price unknown: give --prices)"
            lines.append(
                f"expected: {expected['prompt_tokens']:,} prompt and "
                f"{expected['completion_tokens']:,} completion tokens{cost}, at most "
                f"{duration(expected['seconds'])} (at the probe's speed)"
            )
        elif self.tally.uncounted:
            lines.append("the server reports no token counts, so the cost cannot be estimated")
        elif found["new_samples"]:
            lines.append("--probe 20 asks 20 rows and estimates the time and cost of the rest")
        return lines


class Planned(Exception):
    """Ends a dry run before anything is written."""

    def __init__(self, plan: Plan):
        super().__init__("a dry run")
        self.plan = plan
