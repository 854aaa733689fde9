"""torchvision missing, or built for another torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.more_families import build

WITHOUT = """
import importlib.util, sys

def hidden(name):
    return name.partition(".")[0] == "torchvision"

find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if hidden(name) else find(name, *more)

class Hiding:
    def find_spec(self, name, path=None, target=None):
        if hidden(name):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hiding())
"""
AS_INSTALLED = """
import sys
sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "Finder"]
"""
"""Without what tests/torchvision_cpu.py may have put into this environment."""
LOAD = """
from vlt.errors import UserError
from vlt.engine.loading import load_model
try:
    model, processor = load_model(sys.argv[1], None, "float32")
    print("loaded", type(processor.image_processor).__name__)
except UserError as error:
    print("refused", error)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("qwen2_5_vl", tmp_path_factory.mktemp("models") / "vlm")


def said(before: str, model: Path) -> str:
    command = [sys.executable, "-W", "ignore", "-c", before + LOAD, str(model)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def test_where_it_is_missing_one_sentence_says_so(model: Path) -> None:
    assert said(WITHOUT, model) == (
        f"refused the processor of {str(model)!r} needs torchvision, which is not installed; "
        "`pip install torchvision`"
    )


def test_beside_another_torch_it_is_made_to_fit(model: Path) -> None:
    assert said(AS_INSTALLED, model) == "loaded Qwen2VLImageProcessor"
