"""Two models side by side over HTTP, with the miniature's real weights behind a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import vlt, vlt_json

MODEL = Path(__file__).parent.parent / "recipes" / "miniature" / "vlm"


@pytest.mark.slow
def test_samples_of_two_models_are_paired(workspace: Path) -> None:
    where = ("-w", workspace)
    vlt("import", "miniature", "--set", "n=24", "--set", "split=heldout", "--as", "heldout", *where)
    command = [sys.executable, "-m", "tests.miniature_server", f"one={MODEL}", f"two={MODEL}"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        ask = ("eval", "heldout", "--base-url", url, "-k", 2, "--temperature", 1.0)
        ask = (*ask, "--max-tokens", 64, *where)
        told = vlt_json(*ask, "--model", "one", "--model", "two")
    finally:
        server.kill()
        server.wait()
        if server.stdout:
            server.stdout.close()
    (c,) = told["comparisons"]
    assert (c["model"], c["against"], c["n"]) == ("two", "one", 24)
    assert c["test"].startswith("sign test") and 0 < c["p"] <= 1
    assert c["low"] <= c["difference"] <= c["high"]
    values = [model["accuracy"]["value"] for model in told["models"]]
    assert c["difference"] == pytest.approx(values[1] - values[0])
    assert all(model["samples"] == 48 for model in told["models"])
    # The server is gone: with another grader nothing has to be asked.
    vlt(*ask, "--model", "one", "--model", "two", "--grader", "paper")
