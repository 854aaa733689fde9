"""`pip install 'vlt-loop[vllm]'` has a solution: a vLLM that the installed TRL takes, beside all of ours.

Asked of uv, which reads metadata alone (46 MB); pip downloads gigabytes where an index does not offer it.
"""

from __future__ import annotations

import importlib.metadata
import os
import ssl
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vlt.train.vllm import supported

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
OFFLINE = ("error sending request", "Failed to fetch", "dns error", "Connection refused")


def test_the_extra_resolves() -> None:
    uv = pytest.importorskip("uv")
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["vllm"], *extras["lora"]]
    wanted.append(f"trl=={importlib.metadata.version('trl')}")
    authorities = ssl.get_default_verify_paths().cafile
    environment = {**os.environ, **({"SSL_CERT_FILE": authorities} if authorities else {})}
    command = [uv.find_uv_bin(), "pip", "compile", "-", "--python", sys.executable, "--quiet"]
    done = subprocess.run(
        [*command, "--no-header", "--no-annotate"],
        input="\n".join(wanted),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode and any(words in done.stderr for words in OFFLINE):
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    found = {
        canonicalize_name(name): version
        for name, _, version in (line.partition("==") for line in done.stdout.splitlines())
    }
    takes = supported()
    assert takes is not None and takes.contains(found["vllm"])
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(found[canonicalize_name(requirement.name)])
