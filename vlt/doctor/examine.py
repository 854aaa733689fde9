"""All checks, run concurrently, with their findings in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from vlt.cluster.address import ray_address
from vlt.doctor.cluster import cluster
from vlt.doctor.finding import Finding
from vlt.doctor.hub import hub
from vlt.doctor.machine import disk, gpu, memory, python
from vlt.doctor.needs import Needs, needs
from vlt.doctor.packages import packages, torchvision
from vlt.doctor.servers import server
from vlt.doctor.vllm_command import vllm
from vlt.engine.model import Model

Check = Callable[[], Iterator[Finding]]


def examine(
    workspace: Path, recipe: str | None = None, model: Model | None = None
) -> list[Finding]:
    """Check the machine, what a recipe or a model of the command line needs, and a Ray cluster if one is
    named.

    Nothing is written (except by vlt.doctor.cluster) and no model is asked; checks that wait (for
    servers, the Hub, a process, nodes) do so concurrently.
    """
    wants = needs(recipe, workspace) if recipe else Needs()
    urls = dict(wants.servers)
    for url in model.urls if model else []:
        asked = urls.setdefault(url, [])
        if model and model.model and model.model not in asked:
            urls[url] = [*asked, model.model]
    named = model.vllm_command if model else None
    commands: Sequence[str | None] = [named] if named else wants.vllm or [None]
    checks: list[Check] = [
        python,
        packages,
        torchvision,
        gpu,
        memory,
        partial(disk, workspace),
        *(partial(vllm, command, needed=bool(wants.vllm)) for command in commands),
        partial(hub, needed=wants.fetches),
        lambda: iter(wants.findings),
        *(partial(server, url, models) for url, models in urls.items()),
        *([partial(cluster, workspace)] if ray_address() else []),
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        return [f for findings in pool.map(lambda check: list(check()), checks) for f in findings]
