"""The connection of this process to Ray: made once, at the first need; Ray ends it with the process."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from typing import Any

from vlt.cluster.address import NAMED, ray_address
from vlt.errors import UserError

ANSWER_SECONDS = 5.0
"""For the address to accept a connection. Ray itself would try for minutes."""
_lock = threading.Lock()


def connected() -> Any:
    """The module `ray`, connected to the cluster of `ray_address`.

    What this process holds on the cluster (actors, placement groups, tasks) goes when it ends, also by
    kill -9. Raises UserError, in one sentence, where ray is not installed, no cluster answers, or its Ray
    or Python is of another version.
    """
    address = ray_address()
    if address is None:
        raise RuntimeError("no cluster is named; ask vlt.cluster.address.ray_address first")
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "--ray needs Ray, which is not installed; run `pip install 'vlt-loop[ray]'` on every node"
        ) from error
    with _lock:
        if not ray.is_initialized():
            _connect(ray, address)
    return ray


def address_of_cluster() -> str:
    """The value of VLT_RAY for a child that uses the same cluster as this process.

    If this process is connected, the cluster's own address: `local` would start another cluster.
    """
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return str(ray.get_runtime_context().gcs_address)
    address = ray_address()
    assert address
    return address


def _connect(ray: Any, address: str) -> None:
    where = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    if where not in NAMED:
        _check_port(where)
    # Ray would start its own "auto" cluster's usage report and its progress on our standard error.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # It would warn that in a thread it sets no handler for SIGTERM: we want none of it anywhere.
    logging.getLogger("ray._private.worker").setLevel(logging.ERROR)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            namespace="vlt",
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=False,
            include_dashboard=False if address == "local" else None,
        )
    except ConnectionError as error:
        raise UserError(
            f"no Ray cluster answers at {where}; start one with `ray start --head`, or give its address "
            "with --ray HOST:PORT"
        ) from error
    except RuntimeError as error:
        words = " ".join(str(error).split())
        if "ersion mismatch" in words:
            raise UserError(
                f"this machine and the Ray cluster at {address} differ ({words[:300]}); install the same "
                "versions of ray and Python on every node"
            ) from error
        raise UserError(f"Ray at {address} does not take this process: {words[:300]}") from error
    if threading.current_thread() is threading.main_thread():
        # Ray's own handler would exit without cleaning up.
        signal.signal(signal.SIGTERM, on_sigterm)
    # Ray prints events (a lost node, a killed worker) on standard output, which is for results only
    # (--json); vlt reports them itself.
    from ray._private import worker

    worker.print_to_stdstream = lambda *_, **__: None


def _check_port(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at {address} ({error}); start one with `ray start --head`, or "
            "give the address that it printed with --ray HOST:PORT"
        ) from error
