"""One cluster for the tests that break nothing in it; those that kill nodes make their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.on_ray.cluster import Nodes
from vlt.cluster.address import VARIABLE

# Whatever token lies in the home folder; and `--ray local` makes none there.
os.environ["RAY_AUTH_MODE"] = "disabled"


@pytest.fixture(autouse=True)
def _no_cluster_from_outside() -> Iterator[None]:
    """None from the environment, nor from a command that a test has run in this process."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    for name in (VARIABLE, "RAY_ADDRESS"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    """A head and three nodes of one core each."""
    _findable()
    with Nodes() as running:
        yield running


@pytest.fixture(scope="session")
def breakable() -> Iterator[Nodes]:
    """As many more, for tests that kill some and add others; this process may be connected to it."""
    import ray

    _findable()
    with Nodes() as running:
        yield running
        ray.shutdown()


@pytest.fixture(scope="module")
def mortal() -> Iterator[Nodes]:
    """A cluster of the module's own, whose nodes are killed."""
    _findable()
    with Nodes() as running:
        yield running


def _findable() -> None:
    """Workers find vlt and tests where this process does, whatever is installed."""
    os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
