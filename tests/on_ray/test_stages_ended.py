"""Data stages on a cluster that end in the middle: errors, Ctrl-C, kill -9, no node left. Nothing stays."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.on_ray.cluster import Nodes
from tests.on_ray.stages import filtered, prepare, small_pieces
from tests.on_ray.test_stages import working
from tests.processes import wait_for
from vlt.cluster import tasks
from vlt.cluster.address import VARIABLE
from vlt.cluster.tasks import Tasks
from vlt.errors import UserError
from vlt.filters.apply import make_filtered
from vlt.workspace.workspace import Workspace

COMMAND = """
import vlt.filters.apply, vlt.process_pool
from vlt.cli.main import main
vlt.process_pool.CLUSTER_WORTH, vlt.filters.apply.BATCH = 0, 4
main()
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all nodes see, with what the stages work at."""
    made = tmp_path_factory.mktemp("ended")
    prepare(made)
    return made


@pytest.fixture(autouse=True)
def _on_cluster(breakable: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pieces(monkeypatch)
    monkeypatch.setenv(VARIABLE, breakable.address)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_ended_leaves_nothing(
    how: signal.Signals, root: Path, breakable: Nodes
) -> None:
    name = f"ended-{how.name}".lower()
    command = psutil.Popen(
        [
            *(sys.executable, "-c", COMMAND, "filter", "samples", "--as", name),
            *("--ray", breakable.address, "--filter", "mine.py:endless", "-w", "workspace"),
        ],
        cwd=root,  # the nodes were started elsewhere
        env={name: value for name, value in os.environ.items() if name != VARIABLE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(working(breakable)) > 1)
    command.send_signal(how)
    _, said = command.communicate(timeout=60)
    if how is signal.SIGINT:
        assert command.returncode == 130
        assert said.strip().endswith("asks for nothing twice")
    wait_for(lambda: not working(breakable), 60)
    with Workspace(root / "workspace") as opened:
        assert opened.versions(name) == []
        made, _ = make_filtered(opened, opened.open("samples"), chain=["dedup"], name=name)
        left = [path.name for path in (opened.root / "datasets" / name).iterdir()]
    assert made.ref == f"{name}@v1"
    assert sorted(left) == [".lock", "v1"], "what the ended one had built is gone"


def test_an_error_is_the_same_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    for _ in range(2):
        with pytest.raises(UserError) as raised:
            filtered(root, "wrong", f"{root / 'mine.py'}:wrong")
        said.append((str(raised.value), getattr(raised.value, "__notes__", [])))
        monkeypatch.delenv(VARIABLE, raising=False)
        monkeypatch.setenv("VLT_PROCESSES", "1")
    (there, notes), (here, none) = said
    assert there == here
    assert "returned 7 (of type int) for the row" in there
    assert "on the node" in notes[0] and not none


class Odd:
    """The job of a test: what is strange about its pieces happens on a node."""

    def __init__(self, seen: Path):
        self.seen = seen

    def __call__(self, piece: int) -> int:
        if piece == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if piece == 5:
            raise FileNotFoundError(errno.ENOENT, "No such file", str(self.seen))
        return piece * piece


def at_work(folder: Path, given_up: Callable[[int], Any]) -> Tasks[int]:
    """The tasks of this job."""
    job = folder / "job.pickle"
    job.write_bytes(pickle.dumps(Odd(folder)))
    return Tasks(job, folder, {}, given_up)


def test_a_piece_that_kills_its_process(tmp_path: Path) -> None:
    made = at_work(tmp_path, lambda piece: f"given up: {piece}").map(iter(range(5)))
    assert list(made) == [0, 1, 4, "given up: 3", 16]


def test_a_file_that_a_node_does_not_see(tmp_path: Path) -> None:
    made = at_work(tmp_path, lambda _: None).map(iter([4, 5, 6]))
    assert next(made) == 16
    with pytest.raises(
        UserError, match=r"the node \S+ of the Ray cluster cannot see '/.*disk that all"
    ):
        next(made)


def test_another_version_on_the_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "__version__", "0.0.1")
    with pytest.raises(UserError, match=r"has vlt \S+, and this machine 0.0.1; install the same"):
        list(at_work(tmp_path, lambda _: None).map(iter([1])))


def test_all_nodes_are_lost(
    tmp_path: Path, breakable: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "PATIENCE", 2.0)
    made = at_work(tmp_path, lambda _: None).map(iter(range(10, 10_000)))
    assert next(made) == 100
    for node in list(breakable.nodes):
        breakable.kill(node)
    with pytest.raises(
        UserError, match=r"cluster at \S+ has had no core for 2 seconds; add a node"
    ):
        list(made)
    breakable.nodes.extend([breakable.add() for _ in range(3)])
