"""Starts tests/stub_server.py in a separate process and talks to it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Stub(AbstractContextManager["Stub"]):
    """A stub server on a free port of loopback; settings as in stub_server.SETTINGS."""

    def __init__(self, port: int = 0, **settings: Any):
        self.port, self.settings = port, settings

    def __enter__(self) -> Self:
        command = [sys.executable, str(Path(__file__).with_name("stub_server.py"))]
        command += ["--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        if self.settings:
            self.configure(**self.settings)
        return self

    def __exit__(self, *_ended: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    @property
    def url(self) -> str:
        """As --base-url takes it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def configure(self, **settings: Any) -> None:
        """Change settings while it runs."""
        self._call("/config", json.dumps(settings).encode())

    def stats(self) -> dict[str, Any]:
        """See Server.stats."""
        return self._call("/stats")

    def attempts(self) -> dict[str, int]:
        """Requests by marker."""
        return self._call("/attempts")

    def reset(self) -> None:
        """Forget the counts."""
        self._call("/reset", b"")

    def _call(self, path: str, data: bytes | None = None) -> Any:
        with _OPEN(f"http://127.0.0.1:{self.port}{path}", data, timeout=10) as reply:
            return json.load(reply)
