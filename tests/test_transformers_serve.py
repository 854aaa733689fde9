"""`transformers serve`, a server that answers 200 and ignores what it does not support."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli import vlt
from tests.rows import dataset, item
from vlt.workspace.store import Store

REASONER = Path(__file__).parent.parent / "recipes" / "miniature" / "reasoner"
_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """(URL, log) of the real server with the miniature's reasoner."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    program = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", str(REASONER), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--device", "cpu", "--log-level", "info"]
    log = tmp_path / "serve.log"
    with open(log, "wb") as said:
        child = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        end = time.monotonic() + 180
        while not healthy(port):
            assert child.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/v1", log
    finally:
        child.kill()
        child.wait()


def healthy(port: int) -> bool:
    try:
        with _OPEN(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.slow
def test_ignored_n_is_made_up_for(workspace: Path, server: tuple[str, Path]) -> None:
    url, log = server
    rows, k = 4, 3
    caption = "Shapes: red circle, blue square, red square, green circle, red circle, blue circle."
    made = [
        {**item(f"How many {colour} objects are there?"), "caption": caption, "caption_model": "m"}
        for colour in ("red", "blue", "green", "yellow")
    ]
    store = Store(workspace)
    dataset(store, "captions", "caption", made)
    text = workspace / "prompt.txt"
    text.write_text("{caption} {question} Think first.")
    asking = ["gen", "reasoning", "-w", workspace, "-k", k, "--max-tokens", 64, "--prompt", text]
    asking += ["--model", REASONER, "--base-url", url, "--concurrency", 2]
    vlt(*asking)
    found = store.open("samples").table().to_pylist()
    assert [row["sample"] for row in found] == [*range(k)] * rows
    # It says so in its log; the count of requests shows that each sample was asked for.
    assert "Ignoring unsupported fields in the request: {'n'}" in log.read_text()
    asked = log.read_text().count('"POST /v1/chat/completions HTTP/1.1" 200')
    assert asked == rows * k
    # What it had set apart as reasoning stands in the response again.
    ended = [row for row in found if row["finish_reason"] == "stop"]
    assert ended
    for row in ended:
        assert row["response"].startswith("<think>"), row["response"]
        assert row["response"].count("</think>") == 1
        assert row["reasoning"]
