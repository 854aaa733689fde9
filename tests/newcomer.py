"""A newcomer's folder, with the files and commands of docs/extending.md.

The folder also holds a train.py, filters.py, datagen.py and recipes/ of theirs, and PYTHONPATH=. is set.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
THEIRS = "raise SystemExit('a file of the user ran in the place of one of vlt')\n"


def shown(section: str, page: str = "docs/extending.md") -> dict[str, list[str]]:
    """The code blocks under a heading of a page, by their language."""
    text = (ROOT / page).read_text()
    part = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert part, f"{page} has no section {section!r}"
    blocks: dict[str, list[str]] = {}
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```", part[1], re.M | re.S):
        blocks.setdefault(language, []).append(code)
    return blocks


class Newcomer:
    """Their folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("train.py", "filters.py", "datagen.py", "recipes/__init__.py"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(THEIRS)

    def write(self, section: str) -> dict[str, list[str]]:
        """Write down the section's Python files, whose first line says their name; gives all blocks."""
        blocks = shown(section)
        for code in blocks.get("python", []):
            if name := re.match(r"# (\w+\.py)\n", code):
                assert len(code.splitlines()) <= 21, "a file of 10 to 20 lines"
                (self.folder / name[1]).write_text(code)
        return blocks

    def run(self, command: str, code: int = 0) -> str:
        """stdout of a command as it is typed, `vlt ...`."""
        program, *words = shlex.split(command)
        assert program == "vlt"
        done = subprocess.run(
            [sys.executable, "-m", "vlt", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": f".{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if not code else done.stdout + done.stderr
