"""Runs `vlt` as a user does: in a separate process, with its output and exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def vlt(*arguments: object, code: int = 0, cwd: Path | None = None, **environment: str) -> str:
    """stdout of `vlt ARGUMENTS`; fails with all output if the exit code differs."""
    done = run_vlt(*arguments, cwd=cwd, **environment)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def vlt_error(
    *arguments: object, code: int = 1, cwd: Path | None = None, **environment: str
) -> str:
    """The one-sentence error on stderr of a wrong command."""
    done = run_vlt(*arguments, cwd=cwd, **environment)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("vlt: "), done.stderr
    return last


def vlt_json(*arguments: object, code: int = 0, cwd: Path | None = None) -> Any:
    """The one JSON object on stdout."""
    return json.loads(vlt(*arguments, "--json", code=code, cwd=cwd))


def run_vlt(
    *arguments: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The finished process."""
    return subprocess.run(
        [sys.executable, "-m", "vlt.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONSAFEPATH": "1", **environment},
        timeout=900,
        check=False,
    )


def start_vlt(*arguments: object, **how: Any) -> subprocess.Popen[str]:
    """The running process; `how`: further arguments of Popen."""
    return subprocess.Popen(
        [sys.executable, "-m", "vlt.cli.main", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        **how,
    )
