"""What commands have in common: help, version, the workspace before them, completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import vlt as package
from tests.cli import run_vlt, vlt, vlt_error, vlt_json
from tests.rows import dataset, item
from vlt.cli.groups import GROUPS
from vlt.cli.main import app
from vlt.cli.output import as_called
from vlt.workspace.store import Store


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two workspaces: one that holds `here`, and one that holds `there` twice."""
    here, there = tmp_path / "here", tmp_path / "there"
    dataset(Store(here), "here", "item", [item()])
    dataset(Store(there), "there", "item", [item()])
    dataset(Store(there), "there", "item", [item("Another?")])
    return here, there


def names(*arguments: object, **environment: str) -> set[str]:
    return set(re.findall(r"^(\w+)@v\d", vlt(*arguments, **environment), re.MULTILINE))


def test_version() -> None:
    assert vlt("--version") == f"vlt {package.__version__}\n"


def test_h_is_help_everywhere() -> None:
    for words in ([], ["ls"], ["gen"], ["gen", "captions"], ["train", "sft"]):
        assert vlt(*words, "-h") == vlt(*words, "--help")
        assert vlt(*words, "-h").startswith("Usage: vlt ")


def test_the_workspace_before_the_command(two: tuple[Path, Path]) -> None:
    here, there = two
    assert names("-w", here, "ls") == names("ls", "-w", here) == {"here"}
    assert names("--workspace", here, "ls") == {"here"}
    assert names("-w", here, "ls", "-w", there) == {"there"}  # the latter wins
    assert names("ls", VLT_WORKSPACE=str(here)) == {"here"}
    assert names("-w", there, "ls", VLT_WORKSPACE=str(here)) == {"there"}
    assert names("ls", "-w", there, VLT_WORKSPACE=str(here)) == {"there"}


def test_every_command_with_a_workspace_takes_the_one_before_it() -> None:
    """All of them declare it by the shared option, whose callback looks before the command."""

    def check(group: Any, before: str) -> None:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                check(command, f"{before}{name} ")
            for parameter in command.params:
                if "--workspace" in parameter.opts:
                    assert parameter.callback is not None, f"{before}{name}"

    check(typer.main.get_command(app), "vlt ")


def test_a_command_in_a_group_takes_it_too(two: tuple[Path, Path]) -> None:
    said = vlt_error("-w", two[0], "gen", "reasoning", "--model", "m", "--base-url", "http://x/v1")
    assert str(two[0]) in said


def test_help_lists_every_command_in_the_order_of_use_with_its_whole_summary() -> None:
    command: Any = typer.main.get_command(app)
    grouped = [name for group in GROUPS.values() for name in group]
    assert set(command.commands) <= set(grouped)
    for width in (80, 160):
        said = vlt("--help", COLUMNS=str(width))
        assert max(map(len, said.splitlines())) <= width
        assert "..." not in said.split("Options:")[0].split("\n", 1)[1]
        shown = re.findall(r"^  ([a-z]+) +[A-Z]", said, re.MULTILINE)
        assert shown == [name for name in grouped if name in command.commands]
        words = " ".join(said.split())
        for each in command.commands.values():
            assert " ".join(each.get_short_help_str(1_000).split()) in words
    assert "--debug" in said


def test_help_and_import_are_light() -> None:
    """rich, Arrow and the rest are imported where something is shown or read, not for help."""
    script = "import sys, vlt; import vlt.cli.main; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"rich", "pyarrow", "numpy", "torch", "PIL", "yaml", "huggingface_hub"}


def complete(words: str, workspace: Path, cwd: Path) -> list[str]:
    """Bash's completions for a command line that ends in these words."""
    done = run_vlt(
        cwd=cwd,
        _VLT_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
        VLT_WORKSPACE=str(workspace),
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.split()


def test_completion(two: tuple[Path, Path], tmp_path: Path) -> None:
    here, there = two
    assert complete("vlt st", here, tmp_path) == ["stats", "status"]
    for command in ("show", "stats", "log", "export", "view", "dedup", "diff a"):
        assert complete(f"vlt {command} ", here, tmp_path) == ["here"], command
    assert complete("vlt show the", there, tmp_path) == ["there"]
    assert complete("vlt show there@", there, tmp_path) == ["there@v1", "there@v2"]
    assert complete("vlt show nothing", there, tmp_path) == []
    assert complete(f"vlt -w {there} show ", here, tmp_path) == ["there"]
    assert complete(f"vlt show -w {there} ", here, tmp_path) == ["there"]


def test_completion_can_be_shown() -> None:
    said = vlt("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "_VLT_COMPLETE" in said


def test_debug_stands_anywhere(workspace: Path) -> None:
    for words in (["--debug", "show", "x"], ["show", "x", "--debug"]):
        done = run_vlt(*words, "-w", workspace)
        assert "Traceback" in done.stderr
    assert "Traceback" not in run_vlt("show", "x", "-w", workspace).stderr


def test_the_module_runs_as_the_command_does(two: tuple[Path, Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vlt", "-w", str(two[0]), "ls"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        check=True,
    )
    assert "here" in done.stdout
    assert vlt_json("-w", two[0], "ls")[0]["name"] == "here"


def test_what_to_do_next_is_called_as_the_shell_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make demo` calls a program that no PATH has: `vlt view ...` would not be found."""
    program = tmp_path / ".venv" / "bin" / "vlt"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [".venv/bin/vlt", "demo"])
    assert as_called() == ".venv/bin/vlt"
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert as_called() == "vlt"
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "cli" / "main.py")])
    assert as_called() == "vlt"
