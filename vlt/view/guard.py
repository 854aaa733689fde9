"""What is refused before any page is served: foreign host names, writes from other sites, active content."""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vlt.errors import UserError

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; object-src 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
BODY = 100_000
"""Maximum bytes of a request from our own forms."""


class Guard:
    """Answers 400 to a Host that is not this machine (DNS rebinding) and sets the headers above."""

    def __init__(self, app: ASGIApp, port: int):
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        if refusal:
            await PlainTextResponse(refusal, 400)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _refusal(self, headers: Headers) -> str:
        host = headers.get("host", "")
        if host not in self._hosts:
            return f"vlt view answers only at {sorted(self._hosts)[0]}, not at {host[:100]!r}\n"
        origin = headers.get("origin")
        if origin is not None and origin not in {f"http://{h}" for h in self._hosts}:
            return f"vlt view accepts nothing from pages of {origin[:100]!r}\n"
        if int(headers.get("content-length", "0") or 0) > BODY:
            return f"vlt view accepts at most {BODY:,} bytes\n"
        return ""


class Refused(UserError):
    """A write that does not come from a page of this process."""


class Token:
    """The secret in this process's own pages, without which nothing is written."""

    def __init__(self) -> None:
        self.value = secrets.token_urlsafe(24)

    def check(self, given: str) -> None:
        """Raises Refused if it is not this process's."""
        if not secrets.compare_digest(given.encode(), self.value.encode()):
            raise Refused("this page is older than the running vlt view; reload it")
