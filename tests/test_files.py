"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vlt.workspace.files import replaced, write_json, write_text


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text("old", file)
    with replaced(file) as part:
        part.write_text("new")
        assert file.read_text() == "old"
        assert part.name.startswith(".")  # hidden: nobody takes it for data
    assert file.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text("old", file)
    with pytest.raises(KeyboardInterrupt), replaced(file) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom vlt.workspace.files import replaced\n"
        "with replaced(Path(sys.argv[1])) as part:\n"
        "    part.write_text('a long text of a process that dies')\n    os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], check=False)
    assert done.returncode == -9
    assert os.listdir(tmp_path) == [".a.txt.part"]
    write_text("new", file)
    assert file.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    with replaced(file) as first:
        first.write_text("first")
        with replaced(file) as second:
            assert second != first
            second.write_text("second")
        assert file.read_text() == "second"
    assert file.read_text() == "first"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_name_as_long_as_file_systems_allow(tmp_path: Path) -> None:
    file = tmp_path / ("é" * 125 + ".json")
    write_json({"text": "é\n"}, file)
    assert json.loads(file.read_text()) == {"text": "é\n"}
    assert file.read_text().endswith("\n")


def test_durable(tmp_path: Path) -> None:
    with replaced(tmp_path / "a", durable=True) as part:
        part.write_bytes(b"kept")
    assert (tmp_path / "a").read_bytes() == b"kept"
