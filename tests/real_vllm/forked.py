"""vLLM's command line with forked instead of spawned processes: for the environment of environment.py.

vLLM for CPUs spawns its engine and its worker, and each imports vLLM anew: two thirds of a start.
Where a test starts a server often, what is served is the same and is there in 13 s, not in 30.
"""

import multiprocessing
import sys
from typing import Any

_CONTEXT = multiprocessing.get_context


def _forking(method: str | None = None) -> Any:
    return _CONTEXT("fork" if method == "spawn" else method)


if __name__ == "__main__":
    multiprocessing.get_context = _forking  # type: ignore[assignment]
    from vllm.entrypoints.cli.main import main  # type: ignore[import-not-found]

    sys.argv[0] = "vllm"
    main()
