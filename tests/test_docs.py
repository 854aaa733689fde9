"""The docs and the program agree: each command and option that is mentioned exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.docs_blocks import pages
from vlt.cli.main import app
from vlt.runs.recipe import BUNDLED

ROOT = Path(__file__).parent.parent
COMMANDS = typer.main.get_command(app)


def written_commands() -> list[str]:
    """Every `vlt ...` in the documents: lines of code blocks, and what stands in backquotes."""
    found = []
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", *pages()):
        text = (ROOT / name).read_text()
        blocks = re.findall(r"```.*?\n(.*?)```", text, re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        found += [re.split(r"\s{2,}|#", line)[0] for line in lines if line.startswith("vlt ")]
        found += re.findall(r"`(vlt [a-z][^`]*)`", text)
    return sorted({command.strip() for command in found})


@pytest.mark.parametrize("line", written_commands())
def test_a_written_command_exists(line: str) -> None:
    words = shlex.split(line)[1:]
    command: Any = COMMANDS
    while hasattr(command, "commands") and words:
        name = words.pop(0)
        if ":" in name:  # vlt train mine.py:METHOD, whose options are its own
            return
        if "|" in name:  # vlt train sft|grpo
            name = name.split("|")[0]
        assert name in command.commands, f"{line!r}: there is no command {name!r}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    for word in words:
        if re.fullmatch(r"--?[a-zA-Z][\w-]*", word):
            assert word in known, f"{line!r}: {command.name} has no option {word}"


def commands(group: Any = COMMANDS, before: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += commands(command, f"{before}{name} ")
        else:
            found.append((before + name, command))
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: str(value)[:30])
def test_every_command_is_documented_and_its_options_too(name: str, command: Any) -> None:
    documents = "".join((ROOT / page).read_text() for page in ("CHANGELOG.md", *pages()))
    assert f"vlt {name}" in documents, f"neither docs nor CHANGELOG tell of `vlt {name}`"
    assert command.help
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            told = parameter.help or re.fullmatch(r"top_p|top_k|temperature", parameter.name or "")
            assert told, f"vlt {name} {parameter.opts[0]} has no help"


def test_the_bundled_recipes_are_named_in_the_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    for recipe in BUNDLED.glob("*.yaml"):
        assert f"`{recipe.stem}`" in text
