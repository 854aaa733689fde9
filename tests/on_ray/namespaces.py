"""Hosts on this machine: processes, mounts and networks of their own, where a test may have them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

NAMESPACES = ("unshare", "-n", "-p", "-m", "--fork", "--kill-child", "--mount-proc")


def needs_namespaces() -> None:
    """Skip the test where nobody may make them, or `ip` is missing."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("no unshare or ip here")
    if subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces may not be made here")
