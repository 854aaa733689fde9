"""Serves the pages, on this machine only, until stopped."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

from vlt.errors import UsageError

PORT = 8642


def serve(
    root: Path, first: str | None, port: int | None, *, browser: bool, say: Callable[[str], None]
) -> None:
    """Serve the workspace at 127.0.0.1; without a port, at PORT or a free one.

    Raises UsageError if the port is taken.
    """
    import uvicorn

    from vlt.view.app import make_app

    opened = _socket(port)
    at = opened.getsockname()[1]
    address = f"http://127.0.0.1:{at}/"
    app = make_app(root, first, at)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    )
    say(f"vlt view: {address}  (ctrl-C stops it)")
    if browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    try:
        server.run([opened])
    except KeyboardInterrupt:  # the normal way to end it, so not reported as an interruption
        say("vlt view: stopped")
    finally:
        opened.close()


def _socket(port: int | None) -> socket.socket:
    for wanted in [PORT, 0] if port is None else [port]:
        opened = socket.socket()
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind(("127.0.0.1", wanted))
            opened.listen(128)
        except OSError:
            opened.close()
            continue
        return opened
    raise UsageError(f"--port {port} is taken or not allowed; give another, or 0 for a free one")
