"""What the openai engine sends as one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlt.request import Request


@dataclass(slots=True)
class Job:
    """Samples of one request that are asked for together: indices without a gap."""

    request: Request
    samples: tuple[int, ...]
    """Those that are still missing."""
    tries: int = 0
    bound: float = 0.0
    """Dollars that it may cost at most."""
    unready_since: float = 0.0
    """time.monotonic() of the first of the 503s that it got in a row; 0: the last was another."""
    alone: bool = False
    """Ask for the first only: the server has refused them together, perhaps because of `n`."""


def jobs_of(request: Request, samples: Sequence[int], singly: bool, tries: int = 0) -> list[Job]:
    """Jobs of neighbouring samples, whose seeds follow each other; of one each where n fails."""
    runs: list[list[int]] = []
    for sample in samples:
        if runs and not singly and sample == runs[-1][-1] + 1:
            runs[-1].append(sample)
        else:
            runs.append([sample])
    return [Job(request, tuple(run), tries) for run in runs]
