"""The place of a child process (its rank, and TRL's fields for it), and its end together with its parent.

On a cluster Ray places the processes. Each gets its rank and the rendezvous in torch's own variables. If
accelerate's launcher starts the child, it sets these for a training with one process, so the child sets
them again.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping

VARIABLE = "VLT_PLACE"
FIELDS = "VLT_PLACE_FIELDS"
"""TRL fields that depend on the place, as JSON: the address of a server."""


def placed(rank: Mapping[str, object]) -> dict[str, str]:
    """The environment with a child's rank: torch's variables, and a copy for take_place."""
    variables = {
        **{name: str(value) for name, value in rank.items()},
        # Else torch, if torchrun has started the child, expects the store of torchrun's agent.
        "TORCHELASTIC_USE_AGENT_STORE": "False",
    }
    return {**variables, VARIABLE: json.dumps(variables)}


def take_place() -> None:
    """Set the variables of `placed`, if there are any; called before torch is imported."""
    os.environ.update(json.loads(os.environ.get(VARIABLE, "{}")))


def placed_fields() -> dict[str, object]:
    """TRL's fields that depend on where this process and its servers were placed."""
    found: dict[str, object] = json.loads(os.environ.get(FIELDS, "{}"))
    return found


def end_with_parent() -> None:
    """Exit at once when the parent is gone: standard input is a pipe that it holds open."""
    if sys.stdin is None or sys.stdin.isatty():
        return

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
