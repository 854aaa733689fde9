"""One GET request with a short timeout."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SECONDS = 4.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Reply:
    """The reply."""

    status: int = 0
    """0 if nothing answered."""
    value: Any = None
    """The parsed JSON, if it is JSON."""
    trouble: str = ""
    """Why nothing answered."""


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows no redirects: a key must not be sent to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def get(url: str, key: str | None = None, seconds: float = SECONDS) -> Reply:
    """The reply to GET `url`; the environment's proxy is not used for loopback addresses."""
    handlers: list[Any] = [_Straight()]
    if urlsplit(url).hostname in LOOPBACK:
        handlers.append(urllib.request.ProxyHandler({}))
    headers = {"Accept": "application/json", "User-Agent": "vlt"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=seconds) as reply:
            return Reply(reply.status, _json(reply.read(1 << 22)))
    except urllib.error.HTTPError as error:
        return Reply(error.code, _json(error.read(1 << 16)))
    except urllib.error.URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            return Reply(trouble=f"no answer within {seconds:g} s")
        return Reply(trouble=getattr(reason, "strerror", None) or str(reason))
    except TimeoutError:
        return Reply(trouble=f"no answer within {seconds:g} s")
    except (OSError, ValueError) as error:
        return Reply(trouble=" ".join(str(error).split())[:200] or type(error).__name__)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
