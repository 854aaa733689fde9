"""Which engine answers for a model, and opening it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vlt.engine import Engine, LoadImage
from vlt.engine.batch import BatchLedger
from vlt.engine.budget import Purse
from vlt.engine.rate_limiter import Pace
from vlt.errors import UsageError
from vlt.images.pixels import sizing

ENGINES = ("openai", "vllm", "local")
CONCURRENCY = 64
VLLM_CONCURRENCY = 256
"""vLLM batches what is there: by default it runs 256 sequences at a time."""


def choose_engine(model: str, engine: str | None, base_urls: Sequence[str]) -> str:
    """The engine that is named, else openai where there is a server, else local for a directory.

    Raises UsageError with what to give where none of these says it.
    """
    if engine is not None and engine not in ENGINES:
        raise UsageError(f"--engine {engine!r} is not one of {', '.join(ENGINES)}")
    if engine in ("local", "vllm") and base_urls:
        raise UsageError(
            f"--engine {engine} asks no server that is there already; leave out --base-url or --engine"
        )
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
    pace: Pace | None = None,
    purse: Purse | None = None,
    vllm_command: str | None = None,
    vllm_args: str | None = None,
    logs: Path | None = None,
    batches: BatchLedger | None = None,
    tell: Callable[[str], None] | None = None,
) -> Engine:
    """An engine ready to be asked; the caller closes it.

    `concurrency` is requests in flight at each server; `timeout` seconds for one request. Without
    base URLs, OPENAI_BASE_URL names the server. `pace` and `purse` limit what a server is sent.
    vLLM is started as `vllm_command` (or VLT_VLLM_COMMAND, or vllm) with `vllm_args` (or
    VLT_VLLM_ARGS); its words go to a file in `logs`. With `batches` the server's Batch API is
    used, and `tell` hears how far it is.
    """
    kind = choose_engine(model, engine, base_urls)
    if kind == "local":
        from vlt.engine.local import LocalEngine

        return LocalEngine(model, load_image=load_image, revision=revision)
    load_image = sizing(load_image)
    if kind == "vllm":
        from vlt.engine.vllm import COMMAND, VLLMEngine

        folder = logs or Path(tempfile.mkdtemp(prefix="vlt-logs-"))
        return VLLMEngine(
            model,
            load_image=load_image,
            log=folder / f"vllm-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log",
            command=vllm_command or os.environ.get("VLT_VLLM_COMMAND") or COMMAND,
            arguments=vllm_args or os.environ.get("VLT_VLLM_ARGS") or "",
            revision=revision,
            concurrency=concurrency or VLLM_CONCURRENCY,
            **({"timeout": timeout} if timeout else {}),
            pace=pace,
        )
    from vlt.engine.openai import TIMEOUT_SECONDS, OpenAIEngine

    urls = list(base_urls) or [url for url in [os.environ.get("OPENAI_BASE_URL")] if url]
    if batches:
        from vlt.engine.batch import BatchEngine

        if len(urls) != 1:
            raise UsageError("--batch goes to one server; give --base-url once")
        return BatchEngine(model, urls[0], load_image=load_image, ledger=batches, tell=tell)
    return OpenAIEngine(
        model,
        urls,
        load_image=load_image,
        concurrency=concurrency or CONCURRENCY,
        timeout=timeout or TIMEOUT_SECONDS,
        pace=pace,
        purse=purse,
    )
