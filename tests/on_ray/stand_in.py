"""Stands in for the program `vllm` on a node: `serve MODEL --host H --port P --state DIR ...`.

It answers as tests/stub_server.py does, by the request's key alone, so every replica says the same. DIR gets
a file for each process that was started, and one with the keys that it was asked. Like vLLM it has a child,
which ignores SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.stub_server import Server, serve

ENGINE = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)  # {state}"
)
COMMAND = f"{sys.executable} {__file__}"


class Asked(Server):
    """Writes down what it is asked, and may die at a request."""

    def __init__(self, settings: dict[str, object], state: Path, dies_at: int | None):
        super().__init__(settings)
        self.file = os.open(state / f"asked-{os.getpid()}", os.O_WRONLY | os.O_CREAT)
        self.dies_at = dies_at

    def complete(self, head: bytes, body: bytes) -> tuple[str, int, bytes]:
        """As Server.complete."""
        start = body.find(b"[[")
        os.write(self.file, body[start : body.find(b"]]", start)] + b"\n")
        if self.dies_at is not None and self.attempts.total() >= self.dies_at:
            print("EngineCore encountered an issue", file=sys.stderr, flush=True)
            os._exit(1)
        return super().complete(head, body)


def asked(state: Path) -> Counter[bytes]:
    """How often each key was asked for, at all servers together."""
    return Counter(
        line for file in state.glob("asked-*") for line in file.read_bytes().splitlines()
    )


def starts(state: Path) -> list[str]:
    """The GPUs and the command line of each server that was started."""
    return [file.read_text() for file in sorted(state.glob("start-*"))]


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--load-seconds", type=float, default=0.0)
    parser.add_argument(
        "--dies-at", type=int, nargs="*", default=[], help="of the first, second ... start"
    )
    parser.add_argument("--refuses", action="store_true")
    given, _ = parser.parse_known_args()
    number = len(list(given.state.glob("start-*")))
    (given.state / f"start-{number:02}-{os.getpid()}").write_text(
        f"CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')} {' '.join(sys.argv[1:])}"
    )
    if given.refuses:
        sys.exit("ValueError: no such model")
    subprocess.Popen([sys.executable, "-c", ENGINE.format(state=given.state)])
    time.sleep(given.load_seconds)
    dies_at = given.dies_at[number] if number < len(given.dies_at) else None
    key = os.environ.get("VLLM_API_KEY")
    settings = {"latency_ms": given.latency_ms, "model": given.model, "api_key": key}
    server = Asked(settings, given.state, dies_at)
    asyncio.run(serve(server, given.port, given.host))


if __name__ == "__main__":
    main()
