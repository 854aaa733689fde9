"""Servers: whether they answer, accept the key, and serve the models that are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from vlt.doctor.asked import SECONDS
from vlt.doctor.finding import Finding, broken, ok, warning
from vlt.engine.api_key import VARIABLE, key_to_send
from vlt.engine.endpoint import Endpoint, NotThere
from vlt.engine.refusal import named
from vlt.errors import UsageError
from vlt.near_names import did_you_mean


def server(url: str, models: Sequence[str] = ()) -> Iterator[Finding]:
    """One line for a base URL; `models` are those that it must serve."""
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
    status, listed, why = _answer(url, key)
    if status == 0:
        what = models[0] if models else "MODEL"
        port = f" --port {parts.port}" if parts.port else ""
        do = f"start it (e.g. `vllm serve {what}{port}`), or correct the URL"
        yield broken("server", f"{url} does not answer ({why})", do)
    elif status in (401, 403):
        trouble = "refuses the key" if key else "requires a key"
        yield broken("server", f"{url} {trouble} ({status})", f"set {VARIABLE} to one it accepts")
    elif status == 503:
        do = "wait, and check again"
        yield warning("server", f"{url} is not ready (503); it may be loading its model", do)
    elif status == 404 and not parts.path.rstrip("/").endswith("v1"):
        do = f"most servers answer under /v1: {url.rstrip('/')}/v1"
        yield broken("server", f"{url} has no list of models (404)", do)
    elif not listed:
        says = f"{url} answers, but lists no models (status {status})"
        yield warning("server", says, "a run may still work")
    else:
        yield from _models(url, models, listed)


def _answer(url: str, key: str | None) -> tuple[int, list[str], str]:
    """(status, models that it lists, why nothing answered); the status is 0 if nothing did."""

    async def ask() -> tuple[int, list[str]]:
        endpoint = Endpoint(url, 1, key, SECONDS)
        try:
            async with asyncio.timeout(SECONDS):
                return await endpoint.listed()
        finally:
            await endpoint.close()

    try:
        return *asyncio.run(ask()), ""
    except NotThere as error:
        return 0, [], error.reason
    except TimeoutError:
        return 0, [], f"no answer within {SECONDS:g} s"


def served(url: str) -> list[str]:
    """The models that a server lists; empty if it does not answer or list any."""
    try:
        return _answer(url, key_to_send())[1]
    except UsageError:
        return []


def _models(url: str, models: Sequence[str], listed: list[str]) -> Iterator[Finding]:
    missing = [model for model in models if model not in listed]
    if not missing:
        yield ok("server", f"{url} serves {named(list(models) or listed)}")
    for model in missing:
        near = did_you_mean(model, listed, most=1)
        do = near or "name one of them, or start it with that model"
        yield broken("server", f"{url} serves {named(listed)}, not {model!r}", do)
