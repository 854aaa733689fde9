"""What the openai engine sends as one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlt.request import Request


@dataclass(slots=True)
class Job:
    """Samples of one request that are requested together: consecutive indices."""

    request: Request
    samples: tuple[int, ...]
    """Those still missing."""
    tries: int = 0
    bound: float = 0.0
    """The most that it may cost, in dollars."""
    unready_since: float = 0.0
    """time.monotonic() of the first of its consecutive 503s; 0 if its last failure was another."""
    alone: bool = False
    """Request only the first: the server refused them together, perhaps because of `n`."""


def jobs_of(request: Request, samples: Sequence[int], singly: bool, tries: int = 0) -> list[Job]:
    """Jobs of consecutive samples, whose seeds are consecutive too; of one each if `singly`."""
    runs: list[list[int]] = []
    for sample in samples:
        if runs and not singly and sample == runs[-1][-1] + 1:
            runs[-1].append(sample)
        else:
            runs.append([sample])
    return [Job(request, tuple(run), tries) for run in runs]
