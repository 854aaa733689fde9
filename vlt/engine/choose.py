"""Which engine answers for a model, and opening it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from vlt.engine import Engine, LoadImage
from vlt.errors import UsageError

ENGINES = ("openai", "local")
CONCURRENCY = 64


def choose_engine(model: str, engine: str | None, base_urls: Sequence[str]) -> str:
    """The engine that is named, else openai where there is a server, else local for a directory.

    Raises UsageError with what to give where none of these says it.
    """
    if engine is not None and engine not in ENGINES:
        raise UsageError(f"--engine {engine!r} is not one of {', '.join(ENGINES)}")
    if engine == "local" and base_urls:
        raise UsageError("--engine local asks no server; leave out --base-url or the engine")
    if engine:
        return engine
    if os.path.isdir(model) and not base_urls:
        return "local"
    if base_urls or os.environ.get("OPENAI_BASE_URL"):
        return "openai"
    raise UsageError(
        f"nothing says who answers for the model {model!r}; give --base-url of a server that serves "
        "it (e.g. http://localhost:8000/v1), or a model directory"
    )


def open_engine(
    model: str,
    *,
    engine: str | None = None,
    base_urls: Sequence[str] = (),
    revision: str | None = None,
    concurrency: int | None = None,
    load_image: LoadImage,
    timeout: float | None = None,
) -> Engine:
    """An engine ready to be asked; the caller closes it.

    `concurrency` is requests in flight at each server; `timeout` seconds for one request. Without
    base URLs, OPENAI_BASE_URL names the server.
    """
    if choose_engine(model, engine, base_urls) == "local":
        from vlt.engine.local import LocalEngine

        return LocalEngine(model, load_image=load_image, revision=revision)
    from vlt.engine.openai import TIMEOUT_SECONDS, OpenAIEngine

    urls = list(base_urls) or [url for url in [os.environ.get("OPENAI_BASE_URL")] if url]
    return OpenAIEngine(
        model,
        urls,
        load_image=load_image,
        concurrency=concurrency or CONCURRENCY,
        timeout=timeout or TIMEOUT_SECONDS,
    )
