"""Which of a training's processes this one is, and whose it is.

On a cluster Ray places the processes, one by one. Each is told its rank and where they meet, in torch's
own variables. accelerate's launcher, where it stands between, sets these as for a training of one
process, so the child sets them again.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping

VARIABLE = "VLT_PLACE"


def placed(rank: Mapping[str, object]) -> dict[str, str]:
    """The environment that tells a child its place: torch's variables, and once more for take_place."""
    variables = {
        **{name: str(value) for name, value in rank.items()},
        # Where torchrun has started the child, torch takes its rendezvous for the one to meet at.
        "TORCHELASTIC_USE_AGENT_STORE": "False",
    }
    return {**variables, VARIABLE: json.dumps(variables)}


def take_place() -> None:
    """Take the place that the environment tells, if any; called before torch is imported."""
    os.environ.update(json.loads(os.environ.get(VARIABLE, "{}")))


def end_with_parent() -> None:
    """End at once when the parent is gone: standard input is a pipe that it holds open."""
    if sys.stdin is None or sys.stdin.isatty():
        return

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
