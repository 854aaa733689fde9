"""Stands in for the program `vllm` to inject deaths: `vllm serve MODEL --port P ...`.

FAKE_VLLM_DIES="40 80" lets it die at the 40th request, then, started again, at the 80th. It writes
its arguments and its number of starts into the folder FAKE_VLLM_STATE. FAKE_VLLM_SHARES=4096 lets it
leave so many bytes of shared memory behind, as vLLM does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.stub_server import Server, serve


class Mortal(Server):
    """A server that dies at a given request."""

    def __init__(self, settings: dict[str, object], dies_at: int | None):
        super().__init__(settings)
        self.dies_at = dies_at

    def complete(self, head: bytes, body: bytes) -> tuple[str, int, bytes]:
        """As Server.complete, until the end."""
        if self.dies_at is not None and self.attempts.total() >= self.dies_at:
            print("EngineCore encountered an issue", file=sys.stderr, flush=True)
            os._exit(1)
        return super().complete(head, body)


def main() -> None:
    """Serve as tests/stub_server.py does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    arguments, _ = parser.parse_known_args()
    state = Path(os.environ["FAKE_VLLM_STATE"])
    starts = len(list(state.glob("start-*")))
    (state / f"start-{starts}").write_text(f"{os.getpid()} {' '.join(sys.argv[1:])}")
    if os.environ.get("FAKE_VLLM_REFUSES"):
        sys.exit("ValueError: no such model")
    time.sleep(0.3)
    if size := int(os.environ.get("FAKE_VLLM_SHARES", "0")):
        segment = shared_memory.SharedMemory(create=True, size=size)
        resource_tracker.unregister(segment._name, "shared_memory")  # type: ignore[attr-defined]
        (state / f"segment-{starts}").write_text(segment.name)
    deaths = os.environ.get("FAKE_VLLM_DIES", "").split()
    dies_at = int(deaths[starts]) if starts < len(deaths) else None
    server = Mortal({"latency_ms": 5.0, "model": arguments.model}, dies_at)
    asyncio.run(serve(server, arguments.port))


if __name__ == "__main__":
    main()
