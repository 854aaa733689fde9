"""An OpenAI-compatible server on loopback whose replies a test writes as a function."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Said = str | int | bytes | dict[str, Any] | tuple[int, dict[str, Any]]
Says = Callable[[str, str], Said]
"""(model, the user's text) -> the response; or an HTTP status to fail with, the body of a reply as it is
(a dict, or bytes that need not be JSON), or (status, body)."""


class Talking(AbstractContextManager["Talking"]):
    """Answers every chat completion with what `says` says; keeps what was asked."""

    def __init__(self, says: Says, lists: list[str] | None = None):
        """`lists`: the names that /v1/models lists; without them it is not there."""
        self.says, self.lists = says, lists
        self.bodies: list[dict[str, Any]] = []
        """The JSON body of each request."""
        self.asked: list[tuple[str, str, int]] = []
        """(model, text, images) of each request."""
        talking = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send(*talking.reply(body))

            def do_GET(self) -> None:
                if talking.lists is None:
                    self.send(404, {"detail": "Not Found"})
                else:
                    self.send(200, {"data": [{"id": name} for name in talking.lists]})

            def send(self, status: int, reply: dict[str, Any] | bytes) -> None:
                data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        """As --base-url takes it."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any] | bytes]:
        """(HTTP status, body)"""
        self.bodies.append(body)
        content = body["messages"][-1]["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "\n".join(block["text"] for block in blocks if block["type"] == "text")
        self.asked.append((body["model"], text, sum(b["type"] == "image_url" for b in blocks)))
        said = self.says(body["model"], text)
        if isinstance(said, int):
            return said, {"error": {"message": "as the test wants it", "type": "stub"}}
        if isinstance(said, tuple):
            return said
        if isinstance(said, bytes | dict):
            return 200, said
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": said}}
        n = body.get("n") or 1
        usage = {"prompt_tokens": 9, "completion_tokens": 3 * n, "total_tokens": 9 + 3 * n}
        reply = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"]}
        return 200, {**reply, "choices": [{**choice, "index": i} for i in range(n)], "usage": usage}

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_ended: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
