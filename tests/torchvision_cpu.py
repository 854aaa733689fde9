"""Lets this environment's torchvision be imported beside the CPU build of torch.

    python tests/torchvision_cpu.py

`make install` runs it. PyPI has torchvision for CUDA alone (see vlt/engine/torchvision.py, which does
the same where vlt itself loads a model); tests import transformers by themselves as well. Where the
two do not fit, a .pth file in the environment declares the missing operators just before torchvision
is imported. Where they do, nothing is written.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

NAME = "torchvision_beside_cpu_torch"
FINDER = '''"""Written by tests/torchvision_cpu.py: declares operators that torchvision looks for."""

import importlib.abc
import sys


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            for operator in ("nms", "qnms"):
                torch.library.define(f"torchvision::{operator}", schema)


sys.meta_path.insert(0, Finder())
'''


def imports() -> bool:
    """Whether torchvision can be imported in a fresh process."""
    command = [sys.executable, "-c", "import torchvision"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__" and not imports():
    folder = Path(sysconfig.get_paths()["purelib"])
    (folder / f"{NAME}.py").write_text(FINDER)
    (folder / f"{NAME}.pth").write_text(f"import {NAME}\n")
    if not imports():
        raise SystemExit("torchvision cannot be imported, also with its operators declared")
