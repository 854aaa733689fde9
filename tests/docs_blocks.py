"""The code blocks of README and docs, and how a reader runs them.

A block is run by its language and, behind it, a file name:

    ```json questions.jsonl     is written to that file
    ```yaml mine.yaml           likewise; a piece without a name has to fit into a whole recipe
    ```bash                     its `vlt` commands run; `# 2 items` and `# exit 1` behind one are checked
    ```python                   runs, with the names of the blocks before it
    ```text                     what a command prints: not run

`<!-- not run: REASON -->` above a block says why it is not.
"""

from __future__ import annotations

import json
import linecache
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from tests.small_recipe import write_small
from vlt.cli.main import app
from vlt.runs.recipe import load_recipe

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>[\w{}]*)(?: (?P<name>\S+))?\n"
    r"(?P<text>.*?)^```$",
    re.M | re.S,
)
SERVER = re.compile(r"http://127\.0\.0\.1:800\d/v1")
OUTPUT = ("text", "{toctree}")
RUN = ("bash", "python", "json", "yaml", "csv")


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    page: str
    line: int
    language: str
    name: str
    text: str
    reason: str
    """Why it is not run; empty where it is."""


def pages() -> list[str]:
    """README and the hand-written pages; generated ones are tested elsewhere."""
    written = list((ROOT / "docs").glob("*.md"))
    return ["README.md", *sorted(str(file.relative_to(ROOT)) for file in written)]


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    text = (ROOT / page).read_text("utf-8")
    return [
        Block(
            page,
            text[: m.start()].count("\n") + 1,
            m["language"],
            m["name"] or "",
            m["text"],
            m["reason"] or "",
        )
        for m in BLOCK.finditer(text)
    ]


class Reader:
    """Somebody who works through a page in a folder of their own (the current one)."""

    def __init__(self, server: str, environment: dict[str, str] | None = None):
        """`environment`: commands run in processes of their own, with this."""
        self.server, self.environment = server, environment
        self.space: dict[str, Any] = {"__name__": "__main__"}

    def carry_out(self, block: Block) -> None:
        """Run it; fails with its output."""
        text = SERVER.sub(self.server, block.text)
        if block.name:
            file = Path(block.name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif block.language == "bash":
            for line in text.replace("\\\n", " ").splitlines():
                if line.strip():
                    self.command(line, f"{block.page}, line {block.line}")
        elif block.language == "python":
            name = f"{block.page}, line {block.line}"
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
            exec(compile(text, name, "exec"), self.space)
        elif block.language == "yaml":
            self.piece(text)
        else:
            json.loads(text)

    def command(self, line: str, where: str) -> None:
        """One `vlt` command, with the comment after it."""
        typed, _, behind = re.sub(r"\s{2,}#", "\0", line, count=1).partition("\0")
        program, *words = shlex.split(typed)
        assert program == "vlt", f"{where}: {typed!r} is no vlt command; say why it is not run"
        code, said = self.run(words)
        expected = int(found[1]) if (found := re.search(r"exit (\d)", behind)) else 0
        assert code == expected, f"{where}: {typed}\nexit {code}\n{said}"
        if made := re.match(r" (\d+) (item|caption|sample)s?$", behind):
            assert re.search(rf"@v\d+: {made[1]} {made[2]}", said), f"{where}: {typed}\n{said}"

    def run(self, words: list[str]) -> tuple[int, str]:
        """(exit code, all output) of a command."""
        if self.environment is None:
            done = CliRunner().invoke(app, words)
            error = getattr(done.exception, "exit_code", done.exit_code)
            return error if done.exit_code else 0, f"{done.output}\n{done.exception or ''}"
        ran = subprocess.run(
            [sys.executable, "-m", "vlt", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout + ran.stderr

    def piece(self, text: str) -> None:
        """A fragment of a recipe, or a list of filters, completed to a small recipe."""
        said = yaml.safe_load(text)
        if said is None:  # a comment
            return
        changes = {"filters": said} if isinstance(said, list) else said
        load_recipe(str(write_small(Path("piece.yaml"), **changes)))
