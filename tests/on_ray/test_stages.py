"""Data stages on a cluster: the same as on one machine, whatever node is killed when."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.on_ray.cluster import Nodes
from tests.on_ray.stages import STAGES, prepare, small_pieces
from tests.processes import line_of
from vlt.cluster.address import VARIABLE
from vlt.cluster.tasks import Tasks

KILLED = ("import", "filter", "dedup", "export")
MOMENTS = [float(at) for at in os.environ.get("VLT_RAY_MOMENTS", "0.1 0.4 0.7").split()]
"""When a node is killed: shares of the pieces of a stage. Ten, for a longer look."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all nodes see, with what the stages work at."""
    made = tmp_path_factory.mktemp("stages")
    prepare(made)
    return made


@pytest.fixture(scope="module")
def alone(root: Path) -> Callable[[str], Any]:
    """What a stage makes on one machine."""

    @cache
    def made(name: str) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            small_pieces(patch)
            patch.delenv(VARIABLE)
            return STAGES[name](root, f"{name}-alone".replace(" ", "-"))

    return made


@pytest.fixture
def asked(breakable: Nodes, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each task; stages go to the cluster."""
    small_pieces(monkeypatch)
    monkeypatch.setenv(VARIABLE, breakable.address)
    count: list[int] = []
    plain = Tasks._ask

    def ask(self: Tasks[Any], piece: Any) -> None:
        count.append(piece.deaths)
        plain(self, piece)

    monkeypatch.setattr(Tasks, "_ask", ask)
    return count


@pytest.mark.parametrize("name", STAGES)
def test_the_same_as_on_one_machine(
    name: str, root: Path, alone: Callable[[str], Any], asked: list[int]
) -> None:
    made = STAGES[name](root, f"{name}-there".replace(" ", "-"))
    assert made == alone(name)
    assert len(asked) > 15
    assert not list(root.rglob(".tasks-*")) and not list(root.rglob(".building"))


@pytest.fixture(scope="module")
def lost() -> dict[str, list[int]]:
    """Stage -> how many pieces were asked for again, each time that a node was killed."""
    return {}


@pytest.fixture(scope="module")
def tasks() -> dict[str, int]:
    """Stage -> its tasks where no node is lost."""
    return {}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", KILLED)
def test_a_node_is_killed_in_the_middle(
    name: str,
    moment: float,
    root: Path,
    alone: Callable[[str], Any],
    asked: list[int],
    lost: dict[str, list[int]],
    tasks: dict[str, int],
    breakable: Nodes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """kill -9 of a raylet and its workers: what was asked of it is asked for again, and no more."""
    if name not in tasks:
        STAGES[name](root, f"{name}-whole")
        tasks[name] = len(asked)
        asked.clear()
    pieces = tasks[name]
    with broken_at(int(moment * pieces), breakable, asked, monkeypatch):
        made = STAGES[name](root, f"{name}-broken-{moment}")
    assert made == alone(name)
    lost.setdefault(name, []).append(len(asked) - pieces)
    assert 0 <= lost[name][-1] <= 2, "asked for again"
    assert not list(root.rglob(".tasks-*")) and not list(root.rglob(".building"))


def test_pieces_were_in_the_making_when_nodes_were_killed(lost: dict[str, list[int]]) -> None:
    assert sorted(lost) == sorted(KILLED)
    assert all(any(again) for again in lost.values()), lost


@contextmanager
def broken_at(
    piece: int, nodes: Nodes, asked: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A node that works is killed once so many tasks were asked for; then comes another in its place."""
    plain = Tasks._settle

    def settle(self: Tasks[Any], seconds: float) -> None:
        if len(asked) > piece and len(nodes.nodes) == 3 and (found := working(nodes)):
            nodes.kill(found[0])
        plain(self, min(seconds, 0.1))

    with monkeypatch.context() as patch:
        patch.setattr(Tasks, "_settle", settle)
        yield
    assert len(nodes.nodes) == 2, "it was killed"
    nodes.nodes.append(nodes.add())


def working(nodes: Nodes) -> list[Any]:
    """The nodes on which a task is being done: Ray names its process by it."""
    return [
        node for node in nodes.nodes if any("ray::vlt" in line_of(each) for each in below(node))
    ]


def below(node: Any) -> list[psutil.Process]:
    """What the node has started."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return raylet.children(recursive=True)
