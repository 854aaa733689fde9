"""Without `--ray` nothing imports Ray, which need not be installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rows import dataset, item, sample
from tests.tiny import png
from vlt.workspace.workspace import Workspace

MARK = "import os, pathlib\npathlib.Path(__file__).with_name('imported').touch()\nraise ImportError('no')\n"
AT_ONCE = """
import vlt.filters.apply, vlt.filters.stats, vlt.process_pool, vlt.datagen.export.work as work
from tests.pools import at_once
from vlt.cli.main import main
vlt.process_pool.CLUSTER_WORTH = 1e-9
at_once()
vlt.filters.apply.BATCH = vlt.filters.stats.PIECE = work.ROWS = 4
main()
"""
COMMANDS = (
    "import source.jsonl --as imported",
    "filter samples --verify --near-dedup --as kept --processes 2",
    "dedup items --near --as once --processes 2",
    "decontaminate items --against bench --as clean --processes 2",
    "stats samples --processes 2",
    "export samples --format jsonl --to out --processes 2",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace, a source, and a package `ray` that leaves a mark."""
    (tmp_path / "path" / "ray").mkdir(parents=True)
    (tmp_path / "path" / "ray" / "__init__.py").write_text(MARK)
    with Workspace(tmp_path / "workspace") as workspace:
        rows = [
            sample("<answer>2</answer>", k, item(f"Is it {n}?")) for n in range(9) for k in (0, 1)
        ]
        dataset(workspace, "samples", "sample", rows)
        dataset(workspace, "bench", "item", [item("Is it so?")])
        dataset(workspace, "items", "item", [item(f"Is it {n}?") for n in range(9)])
    (tmp_path / "a.png").write_bytes(png((200, 0, 0)))
    lines = [f'{{"question": "Is it {n}?", "answer": "1", "image": "a.png"}}\n' for n in range(9)]
    (tmp_path / "source.jsonl").write_text("".join(lines))
    return tmp_path


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, with processes that join in at once."""
    path = [str(folder / "path"), os.getcwd(), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-c", AT_ONCE, *command.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "VLT_RAY": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_imports_it(command: str, folder: Path) -> None:
    done = run(command, folder)
    assert done.returncode == 0, done.stderr
    assert not (folder / "path" / "ray" / "imported").exists()


def test_with_it_ray_is_wanted(folder: Path) -> None:
    done = run("stats samples --ray auto", folder)
    assert (folder / "path" / "ray" / "imported").exists()
    assert done.returncode == 1
    assert "pip install 'vlt-loop[ray]'" in done.stderr
    assert sorted(path.name for path in (folder / "workspace").glob(".*")) == []
