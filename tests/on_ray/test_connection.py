"""The connection to a cluster: what a user gets wrong, in one sentence, and within seconds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from tests.on_ray.cluster import LOOPBACK, Nodes
from vlt.cluster import connection
from vlt.cluster.address import VARIABLE, ray_address
from vlt.errors import UsageError, UserError

CONNECT = "from vlt.cluster.connection import connected; print(len(connected().nodes()))"


def connect(address: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CONNECT],
        env={**os.environ, VARIABLE: address, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_connects_by_address_and_by_auto(nodes: Nodes) -> None:
    for done in (connect(nodes.address), connect("auto", RAY_ADDRESS=nodes.address)):
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "4"
        assert done.stderr == ""


@pytest.mark.parametrize("variable", [VARIABLE, "RAY_ADDRESS"])
def test_nobody_answers(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        port = bound.getsockname()[1]
    monkeypatch.setenv(VARIABLE, "auto")
    monkeypatch.setenv(variable, f"{LOOPBACK}:{port}")
    began = time.monotonic()
    with pytest.raises(
        UserError, match=rf"no Ray cluster answers at {LOOPBACK}:{port} \(.*refused"
    ):
        connection.connected()
    assert time.monotonic() - began < connection.ANSWER_SECONDS + 5


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "auto")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'vlt-loop\[ray\]'"):
        connection.connected()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("ray://head:10001", "is the address of a Ray client; run vlt on a node"),
        ("head", "--ray 'head' is no address of a Ray cluster; give auto, local or HOST:PORT"),
        ("head:", "is no address"),
        (":6379", "is no address"),
    ],
)
def test_what_is_no_address(given: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(UsageError, match=says):
        ray_address()
