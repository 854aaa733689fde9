"""Runs a training in a child process, through accelerate's launcher if several processes are wanted.

On a Ray cluster (VLT_RAY), the process that it starts is a driver of Ray Train, which runs the same child
on its nodes (vlt.train.on_ray).

The child's output goes to a file; its progress comes back through another, one JSON line per log. The
child exits when its parent does (its standard input closes), so a killed run leaves no process behind.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlt.cluster.address import VARIABLE, ray_address
from vlt.cluster.connection import address_of_cluster, connected
from vlt.cores import usable_cores
from vlt.errors import UserError
from vlt.train.settings import NAMED, NOT_SPREAD
from vlt.workspace.progress import begin_part, has_basis, report_progress

Progress = Callable[[str], None]
"""Called with the state of the training, one line at a time; each line replaces the one before."""

CHILD = "vlt.train.child"
ON_RAY = "vlt.train.on_ray"
JOB, RESULT, FAILURE, LOG, STATE = (
    "job.json",
    "result.json",
    "failure.json",
    "log.txt",
    "progress.jsonl",
)
"""In the build folder."""


def launch(
    job: Mapping[str, Any],
    folder: Path,
    *,
    what: str = "train",
    goal: str | None = None,
    processes: int = 1,
    accelerate: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train as `job` says (vlt.train.child.Job) and return the facts that the child writes.

    One process is started directly, since accelerate's launcher would only import torch once more;
    several, or any `accelerate` argument (one of NAMED, or the launcher's own), go through it. Where a
    Ray cluster is named, that many processes run on its nodes.
    Raises UserError with the child's reason, or with its last line and the log's path.
    """
    result = folder / RESULT
    if result.exists():  # the training had finished when the run was killed
        return _facts(result)
    (folder / JOB).write_text(json.dumps(job, indent=1))
    state = folder / STATE
    state.write_bytes(b"")
    env = environment(processes)
    if ray_address():
        words = [sys.executable, "-m", ON_RAY, str(folder), str(processes), *accelerate]
        env[VARIABLE] = address_of_cluster()
        if "OMP_NUM_THREADS" not in os.environ:  # ours is for the cores of this machine
            del env["OMP_NUM_THREADS"]
    else:
        words = child_command(folder, processes, accelerate)
    with open(folder / LOG, "ab") as log:
        child = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=env
        )
        try:
            _watch(child, state, what, goal, progress or (lambda _: None))
        finally:
            if child.poll() is None:  # we were interrupted
                child.terminate()
                child.wait()
            assert child.stdin
            child.stdin.close()
    if child.returncode != 0 or not result.exists():
        sentence = reason(folder, child.returncode, folder / LOG)
        (folder / FAILURE).unlink(missing_ok=True)
        raise UserError(sentence)
    return _facts(result)


def child_command(folder: Path, processes: int = 1, accelerate: Sequence[str] = ()) -> list[str]:
    """The words that start a build folder's child, or so many of them, on this machine."""
    return [sys.executable, *_launcher(processes, accelerate), "-m", CHILD, str(folder / JOB)]


def _facts(result: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(result.read_text())
    return facts


def environment(processes: int = 1) -> dict[str, str]:
    """The child's environment: a user's own train.py must not shadow ours, and telemetry is off."""
    found = dict(os.environ)
    defaults = {
        "OMP_NUM_THREADS": str(max(1, usable_cores() // processes)),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "warning",
        # Threads that spin while they wait slow a small model down tenfold on shared cores.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    for name, value in defaults.items():
        found.setdefault(name, value)
    found["PYTHONSAFEPATH"] = "1"
    found["PYTHONUNBUFFERED"] = "1"
    return found


def _launcher(processes: int, accelerate: Sequence[str]) -> list[str]:
    if list(accelerate) == [NOT_SPREAD]:
        accelerate = ()
    if not accelerate and processes == 1:
        return []
    if not accelerate and not has_gpu():
        # Without GPUs accelerate's launcher needs MPI for this; with GPUs it calls torchrun too.
        return ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    words = ["-m", "accelerate.commands.launch"]
    for argument in accelerate:
        words += ["--config_file", _named(argument)] if argument in NAMED else [argument]
    if "--config_file" not in words:
        words += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
        words += ["--multi_gpu"] if processes > 1 else []
    if processes > 1 or any(argument in NAMED for argument in accelerate):
        words += ["--num_processes", str(processes)]
    return words


def _named(name: str) -> str:
    """The configuration file that TRL ships for a name in NAMED."""
    if name.startswith("zero") and importlib.util.find_spec("deepspeed") is None:
        raise UserError(
            f"{name} needs DeepSpeed; `pip install deepspeed`, or use fsdp2, or {NOT_SPREAD} on one GPU"
        )
    spec = importlib.util.find_spec("trl")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("TRL is not installed; `pip install trl`")
    file = Path(spec.submodule_search_locations[0]) / "accelerate_configs" / f"{name}.yaml"
    if not file.is_file():
        raise UserError(f"the installed TRL ships no configuration {name!r}; name your own file")
    return str(file)


def has_gpu() -> bool:
    """Whether a training has a GPU, without importing torch, which only the child needs."""
    if ray_address():
        return bool(connected().cluster_resources().get("GPU"))
    return any(os.path.exists(f"/dev/{device}") for device in ("nvidia0", "kfd"))


def _watch(
    child: subprocess.Popen[bytes], state: Path, what: str, goal: str | None, progress: Progress
) -> None:
    """Pass on the newest line of `state` until the child has ended."""
    seen, started = 0, time.monotonic()
    first: tuple[int, float] | None = None
    """The first reported step, and its time: the model is loaded by then."""
    newest: dict[str, Any] = {}
    """The last reported value of each metric: a step between two logs has no loss."""
    begin_part("steps")
    progress(f"{what}: starting")
    while True:
        try:
            child.wait(timeout=0.25)
            return
        except subprocess.TimeoutExpired:
            pass
        with open(state, "rb") as opened:
            opened.seek(seen)
            fresh = opened.read()
        lines = [line for line in fresh.split(b"\n")[:-1] if line]
        seen += fresh.rfind(b"\n") + 1
        if lines:
            for line in lines:
                told = json.loads(line)
                if "says" not in told:
                    newest.pop("says", None)
                newest |= told
            if says := newest.get("says"):
                progress(f"{what}: {says}")
                continue
            step, now = newest["step"], time.monotonic()
            first = first or (step, now)
            made, seconds = step - first[0], now - first[1]
            known = made and has_basis(seconds, made / max(1, newest["total"] - first[0]))
            speed = made / seconds if known else 0
            report_progress(step, newest["total"], "steps", speed)
            progress(f"{what}: {_line(newest, goal, time.monotonic() - started)}")


def _line(state: Mapping[str, Any], goal: str | None, seconds: float) -> str:
    parts = [f"step {state['step']:,}/{state['total']:,}"]
    for name in ("loss", goal):
        if name and isinstance(state.get(name), int | float):
            parts.append(f"{name} {state[name]:.3f}")
    return f"{' · '.join(parts)} · {seconds:.0f} s"


def reason(folder: Path, code: int, log: Path) -> str:
    """A child's own error message, else the last line of its log; `code` is its exit status."""
    failure = folder / FAILURE
    if failure.exists():
        sentence: str = json.loads(failure.read_text())["sentence"]
        return sentence
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "no output"
    killed = f" by signal {-code}" if code < 0 else ""
    return f"training ended{killed} with: {last}; the full log is in {str(log)!r}"


def tell(folder: Path, **state: object) -> None:
    """Append a line of progress; the text `says` is shown until the next step."""
    with open(folder / STATE, "a") as opened:
        opened.write(json.dumps(state) + "\n")
