"""Would the servers of a model answer for it? Checked by their lists of models, which cost nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from vlt.cluster.address import ray_address
from vlt.cluster.connection import connected
from vlt.engine.api_key import VARIABLE, key_to_send
from vlt.engine.endpoint import LIST_SECONDS, Endpoint, NotThere
from vlt.engine.model import Model
from vlt.engine.refusal import named
from vlt.engine.replica_count import wanted
from vlt.errors import UserError


def trouble(models: Sequence[Model]) -> list[str | None]:
    """Why each model would get no answers, in one sentence; None if nothing is wrong.

    A model without a server (engine local, or vllm on this machine) is never in trouble here; a cluster is
    asked whether the replicas fit. All servers are asked at once, each for at most ten seconds. A server
    that does not list its models, or is still loading one, is fine: the run itself waits for it.
    """

    async def every() -> list[str | None]:
        return list(await asyncio.gather(*(_of(model) for model in models)))

    return asyncio.run(every())


async def _of(model: Model) -> str | None:
    try:
        if model.kind == "vllm" and ray_address():
            wanted(model, connected())
        if model.kind != "openai":
            return None
        key = key_to_send()
        endpoints = [Endpoint(url, 1, key, LIST_SECONDS) for url in model.urls]
    except UserError as error:
        return str(error)
    found = await asyncio.gather(*(_at(endpoint, model.model) for endpoint in endpoints))
    return next((says for says in found if says), None)


async def _at(endpoint: Endpoint, model: str) -> str | None:
    try:
        status, names = await endpoint.listed()
    except NotThere as error:
        return (
            f"no server answers at {endpoint.url} ({error.reason}); start it, or correct base_url"
        )
    finally:
        await endpoint.close()
    if status in (401, 403):
        return f"{endpoint.url} rejects the key (HTTP {status}); set {VARIABLE} to a key that it accepts"
    if names and model not in names:
        return f"{endpoint.url} does not list the model {model!r}; it lists {named(names)}"
    return None
