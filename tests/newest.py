"""The loop with the newest release of every library that pyproject.toml admits: `make test-newest`.

    python -m tests.newest

What a user gets from `pip install` today, where constraints.txt says what was tested. Torch alone is
pinned, by its build for processors. The environment lies in the user's cache and is built anew each
week; the miniature's whole loop runs in it, a few items a stage, and answers come from the local engine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from tests.environments import TORCH, cached, install
from tests.small_recipe import write_small

ROOT = Path(__file__).resolve().parent.parent
MADE = {"captions": 1, "samples": 2, "sft": 2, "sft-model": 2, "grpo-model": 2, "eval-grpo": 2}
"""Name -> versions that two rounds make."""


def environment() -> Path:
    """The environment's folder, built where this week's is missing."""
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    year, week, _ = datetime.now(UTC).isocalendar()

    def build(folder: Path) -> None:
        install(folder, TORCH)
        install(folder, TORCH, *needed)

    return cached("newest", [repr(needed).encode(), f"{year}-{week} {TORCH}".encode()], build)


def main() -> None:
    """Print what is installed, run the loop, and fail where a step did not make its version."""
    python = environment() / "bin" / "python"
    listed = [str(python), "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"]
    print(subprocess.run(listed, check=True, capture_output=True, text=True).stdout, end="")
    # Without vlt installed: the checkout is what runs, whichever built the environment.
    shell = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="vlt-newest-") as folder:
        workspace = Path(folder) / "workspace"
        recipe = write_small(Path(folder) / "small.yaml")
        command = [python, "-m", "vlt", "run", recipe, "-w", workspace]
        subprocess.run(command, check=True, cwd=folder, env=shell)
        for name, versions in MADE.items():
            kind = "checkpoints" if name.endswith("-model") else "datasets"
            made = sorted((workspace / kind / name).glob("v*"))
            if len(made) != versions:
                sys.exit(f"{name}: {len(made)} versions, not {versions}")
        rows = sum(pq.read_metadata(f).num_rows for f in workspace.glob("datasets/samples/v*/*"))
        if rows != 96:
            sys.exit(f"the local engine answered {rows} of 96 samples")
    print("the loop runs with the newest releases")


if __name__ == "__main__":
    main()
