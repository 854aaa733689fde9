"""The folder in which a command and the nodes of a cluster hand over what they make."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vlt.cluster import folder as folders
from vlt.cluster.folder import task_folder
from vlt.errors import UserError

HELD = """
import pathlib, sys
from vlt.cluster.folder import task_folder
with task_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "answer").write_bytes(b"some")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_it_is_gone_after_the_body(tmp_path: Path) -> None:
    with task_folder(tmp_path / "new") as folder:
        (folder / "answer").write_bytes(b"some")
        assert folder.is_absolute()
    assert list((tmp_path / "new").iterdir()) == []


def test_the_next_command_removes_that_of_a_killed_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "ABANDONED_AFTER", -1.0)
    command = subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdout
    other = Path(command.stdout.readline().strip())
    with task_folder(tmp_path):
        assert (other / "answer").exists(), "its command lives"
    os.kill(command.pid, signal.SIGKILL)
    command.communicate()
    assert (other / "answer").exists()
    with task_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"cannot write to .* \(Not a directory\).*omit --ray"),
        task_folder(tmp_path / "file"),
    ):
        pass
