"""A Ray cluster on this machine, on loopback: a head without cores and nodes that may be killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import psutil

LOOPBACK = "127.0.0.2"
"""Not 127.0.0.1, which Ray replaces by an address that other machines reach."""
LATE = "timed out during startup"
"""Ray gives a node 30 s to start, whatever the machine is busy with."""
TRIES = 3


class Nodes(AbstractContextManager["Nodes"]):
    """A head, on which no work is done, and `nodes` nodes of `cpus` cores beside it."""

    def __init__(self, nodes: int = 3, cpus: int = 1, gpus: int = 0):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._shape = {"num_cpus": cpus, "num_gpus": gpus}
        for further in reversed(range(TRIES)):
            before = set(psutil.Process().children(recursive=True))
            try:
                self._start(nodes)
                return
            except Exception as error:
                if LATE not in str(error) or not further:
                    raise
                _end(set(psutil.Process().children(recursive=True)) - before)

    def _start(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "node_ip_address": LOOPBACK,
                "include_dashboard": False,
            },
        )
        self._environment = dict(os.environ)
        self.address: str = self._cluster.address
        self.nodes: list[Any] = [self.add() for _ in range(nodes)]

    @property
    def head(self) -> Any:
        """The node that holds the cluster together."""
        return self._cluster.head_node

    def add(self) -> Any:
        """One more node, alive when this returns.

        It has the environment of the first ones, not what a test has set for its own command since: processes
        on the node would have that for as long as the cluster lives.
        """
        with patch.dict(os.environ, self._environment, clear=True):
            return self._cluster.add_node(node_ip_address=LOOPBACK, **self._shape)

    def kill(self, node: Any) -> None:
        """kill -9 of the node's raylet and of all that it has started, as when its machine is lost."""
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        _end([raylet, *raylet.children(recursive=True)])
        self.forget(node)

    def forget(self, node: Any) -> None:
        """Clear away what is left of a node whose raylet is dead."""
        self.nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def __exit__(self, *_ended: object) -> None:
        self._cluster.shutdown()


def _end(processes: Collection[psutil.Process]) -> None:
    """kill -9 of these, and wait until they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)
