"""Pools of processes that share the work from the first pieces on, however little of it there is."""

from __future__ import annotations

import pytest

from tests.processes import wait_for
from vlt import process_pool
from vlt.process_pool import ProcessPool


def at_once(patch: pytest.MonkeyPatch | None = None) -> None:
    """Workers are worth it at once, and ready as soon as they are started; for good without `patch`."""
    patch = patch or pytest.MonkeyPatch()
    start = ProcessPool._start

    def started(pool: ProcessPool[object, object], number: int) -> None:
        start(pool, number)
        wait_for(lambda: pool._ready() >= number)

    patch.setattr(process_pool, "WORTH", 1e-9)
    patch.setattr(ProcessPool, "_start", started)
