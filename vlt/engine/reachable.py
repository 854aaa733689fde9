"""Would a model get answers? Its servers are asked for their lists of models, which costs nothing; a vLLM
that vlt would start needs its program."""

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
from vlt.engine.vllm_server import command_of, program_of
from vlt.errors import UserError


def trouble(models: Sequence[Model]) -> list[str | None]:
    """Why each model would get no answers, in one sentence; None if nothing is wrong.

    A model of engine local is never in trouble here; one of engine vllm needs the program on this machine,
    or room for its replicas on the cluster. All servers are asked at once, each for at most ten seconds. A
    server that does not list its models, or is still loading one, is fine: the run itself waits for it.
    """

    async def every() -> list[str | None]:
        return list(await asyncio.gather(*(_of(model) for model in models)))

    return asyncio.run(every())


async def _of(model: Model) -> str | None:
    try:
        if model.kind == "vllm":
            if ray_address():
                wanted(model, connected())
            else:
                _check_vllm(model)
        if model.kind != "openai":
            return None
        key = key_to_send()
        endpoints = [Endpoint(url, 1, key, LIST_SECONDS) for url in model.urls]
    except UserError as error:
        return str(error)
    found = await asyncio.gather(*(_at(endpoint, model.model) for endpoint in endpoints))
    return next((says for says in found if says), None)


def _check_vllm(model: Model) -> None:
    """Raises UserError if the program that serves the model is not on this machine."""
    try:
        program_of(command_of(model.vllm_command))
    except UserError as error:
        raise UserError(
            f"engine vllm starts vLLM on this machine, but {error}; `pip install vllm` in an environment of "
            "its own and name it with vllm_command (VLT_VLLM_COMMAND, --vllm-command), name a running server "
            "with base_url, or let a small model answer in this process: engine: local"
        ) from None


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
