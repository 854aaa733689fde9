"""Servers: whether they answer, take the key, and serve the model that they are to be asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from vlt.doctor.asked import get
from vlt.doctor.finding import Finding, broken, ok, warning
from vlt.engine.api_key import VARIABLE, key_to_send
from vlt.engine.refusal import named
from vlt.errors import UsageError


def server(url: str, models: Sequence[str] = ()) -> Iterator[Finding]:
    """One line for a base URL; `models` are those that it is to be asked for."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        do = "write e.g. http://127.0.0.1:8000/v1"
        yield broken("server", f"{url!r} is not a URL", do)
        return
    try:
        key = key_to_send()
    except UsageError as error:
        yield broken("server", f"{url}: {error}", f"set {VARIABLE} again")
        return
    reply = get(f"{url.rstrip('/')}/models", key)
    if reply.status == 0:
        what = models[0] if models else "MODEL"
        port = f" --port {parts.port}" if parts.port else ""
        do = f"start it (e.g. `vllm serve {what}{port}`), or correct the URL"
        yield broken("server", f"{url} does not answer ({reply.trouble})", do)
    elif reply.status in (401, 403):
        trouble = "refuses the key" if key else "wants a key"
        yield broken(
            "server", f"{url} {trouble} ({reply.status})", f"set {VARIABLE} to one it takes"
        )
    elif reply.status == 503:
        do = "wait, and look again"
        yield warning("server", f"{url} is not ready (503); it may be loading its model", do)
    elif reply.status == 404 and not parts.path.rstrip("/").endswith("v1"):
        do = f"most servers answer below /v1: {url.rstrip('/')}/v1"
        yield broken("server", f"{url} has no list of models (404)", do)
    elif reply.status != 200 or not (listed := _listed(reply.value)):
        says = f"{url} answers, and lists no models (status {reply.status})"
        yield warning("server", says, "a run may work all the same")
    else:
        yield from _models(url, models, listed)


def served(url: str) -> list[str]:
    """The models that a server lists; none where it does not answer or does not tell."""
    try:
        reply = get(f"{url.rstrip('/')}/models", key_to_send())
    except UsageError:
        return []
    return _listed(reply.value) if reply.status == 200 else []


def _models(url: str, models: Sequence[str], listed: list[str]) -> Iterator[Finding]:
    missing = [model for model in models if model not in listed]
    if not missing:
        yield ok("server", f"{url} serves {named(list(models) or listed)}")
    for model in missing:
        near = difflib.get_close_matches(model, listed, 1, 0.6)
        do = (
            f"did you mean {near[0]!r}" if near else "name one of them, or start it with that model"
        )
        yield broken("server", f"{url} serves {named(listed)} and not {model!r}", do)


def _listed(value: Any) -> list[str]:
    """The names in a server's list: OpenAI's {"data": [{"id": ...}]}, or the bare list."""
    listed = value.get("data", value.get("models")) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        return []
    return [str(m.get("id") or m.get("name")) for m in listed if isinstance(m, dict)]
