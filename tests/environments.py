"""Python environments that tests need besides vlt's own: each built once per machine, in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

TORCH = "torch==2.13.0"
"""By exact version: a range may bring a build for GPUs of several gigabytes."""


def cached(name: str, made_of: Iterable[bytes], build: Callable[[Path], None]) -> Path:
    """The environment's folder, built unless one with this name and these contents exists."""
    digest = hashlib.sha256(b"".join([*made_of, sys.version.encode()])).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vlt"
    folder = cache / f"{name}-{digest}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=cache))
        try:
            print(f"building the environment {folder} (some minutes)", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", part], check=True)
            build(part)
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another was faster, and ours is not needed
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def install(folder: Path, *what: str) -> None:
    """pip install into the environment, whatever constraints the shell has set."""
    environment = {name: v for name, v in os.environ.items() if name != "PIP_CONSTRAINT"}
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "--disable-pip-version-check", *what], check=True, env=environment)
