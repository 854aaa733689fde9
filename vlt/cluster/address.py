"""Which Ray cluster a command works on: one setting, for generation, data stages and training.

    vlt filter --verify --ray auto       or VLT_RAY=10.0.0.1:6379 vlt filter --verify

`auto` is the cluster that this machine is a node of (RAY_ADDRESS, as in `ray job submit`, comes first),
`local` one that is started for this command and ends with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from vlt.errors import UsageError

VARIABLE = "VLT_RAY"
NAMED = ("auto", "local")


def ray_address() -> str | None:
    """The cluster's address, or None for this process alone. Raises UsageError for what is no address."""
    given = os.environ.get(VARIABLE, "").strip()
    return check_address(given) if given else None


@contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """Use this cluster inside the `with` block, in child processes as well; None changes nothing."""
    before = os.environ.get(VARIABLE)
    if address:
        os.environ[VARIABLE] = address
    try:
        yield
    finally:
        if address:
            os.environ.pop(VARIABLE)
            os.environ.update({VARIABLE: before} if before is not None else {})


def check_address(given: str) -> str:
    """`auto`, `local` or HOST:PORT, as it was given; raises UsageError for anything else."""
    if given in NAMED:
        return given
    if given.startswith("ray://"):
        raise UsageError(
            f"{given} is the address of a Ray client; run vlt on a node of the cluster "
            "(`ray job submit -- vlt ...`) with --ray auto"
        )
    host, colon, port = given.rpartition(":")
    if not (host and colon and port.isdigit()):
        raise UsageError(
            f"--ray {given!r} is no address of a Ray cluster; give auto, local or HOST:PORT"
        )
    return given
