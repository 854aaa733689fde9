"""A model, and how to reach it: the one object by which commands, recipes and Python name models."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from vlt.cluster.address import ray_address
from vlt.errors import UsageError
from vlt.fields import FORBID, Option, Written, check

if TYPE_CHECKING:
    from vlt.engine import Engine, LoadImage
    from vlt.engine.limits import Limits
    from vlt.images.pixels import Pixels
    from vlt.workspace.workspace import Workspace

ENGINES = ("openai", "vllm", "local")
CONCURRENCY = 64
VLLM_CONCURRENCY = 256
"""vLLM does continuous batching: by default it runs 256 sequences at a time."""


@dataclass(frozen=True)
class Model:
    """A model and how it is served.

    `model`, `revision` and `pixels` decide what it answers, and are part of every identity; the
    rest says where and how fast it runs, and is part of none.
    """

    __pydantic_config__ = FORBID

    model: str
    """The model's name on its server, a directory, or a checkpoint."""
    revision: str | None = None
    """The model's revision on the Hub."""
    engine: str | None = None
    """openai (a server), vllm (started for this run) or local (in this process). [by the model]"""
    base_url: Annotated[tuple[str, ...], Option(metavar="URL"), Written(("string",))] = ()
    """http://localhost:8000/v1; several share the work. [OPENAI_BASE_URL]"""
    pixels: Annotated[str | None, Option(metavar="MIN:MAX")] = None
    """Resize images to this range of pixels. [unchanged]"""
    concurrency: Annotated[int | None, Ge(1)] = None
    """Concurrent requests per server. [64; 256 for vllm]"""
    timeout: Annotated[float | None, Gt(0)] = None
    """Seconds until a request is sent again. [600]"""
    vllm_command: str | None = None
    """Command that runs vLLM, e.g. /opt/vllm/bin/vllm. [VLT_VLLM_COMMAND]"""
    vllm_args: str | None = None
    """Arguments for `vllm serve`: '--tensor-parallel-size 2'. [VLT_VLLM_ARGS]"""
    replicas: Annotated[
        Annotated[int, Ge(1)] | Literal["auto"] | None, Option(metavar="N|auto")
    ] = None
    """Servers on a Ray cluster (--ray) with engine vllm; auto: as many as fit. [1]"""
    gpus_per_replica: Annotated[int | None, Ge(0)] = None
    """GPUs per replica; 0: it runs on CPUs. [1 if the cluster has GPUs]"""

    def __post_init__(self) -> None:
        check(self)
        urls = (self.base_url,) if isinstance(self.base_url, str) else tuple(self.base_url)
        object.__setattr__(self, "base_url", urls)
        if self.replicas not in (None, "auto"):
            object.__setattr__(self, "replicas", _count(self.replicas))
        if self.pixels is not None:
            from vlt.images.pixels import Pixels

            object.__setattr__(self, "pixels", str(Pixels.parse(str(self.pixels))))

    @classmethod
    def of(cls, model: Model | str | os.PathLike[str]) -> Model:
        """Itself, or the model of this name or directory."""
        return model if isinstance(model, Model) else cls(str(model))

    @property
    def size(self) -> Pixels | None:
        """The range to which images are resized before the model sees them."""
        from vlt.images.pixels import Pixels

        return Pixels.parse(self.pixels) if self.pixels else None

    @property
    def urls(self) -> list[str]:
        """Its servers: those given, else OPENAI_BASE_URL's."""
        named = os.environ.get("OPENAI_BASE_URL")
        return list(self.base_url) or ([named] if named else [])

    @property
    def kind(self) -> str:
        """The engine: the one named, else local for a directory, else openai if there is a server.

        Raises UsageError if neither is given.
        """
        if self.engine is not None and self.engine not in ENGINES:
            raise UsageError(f"--engine {self.engine!r} is not one of {', '.join(ENGINES)}")
        if self.engine in ("local", "vllm") and self.base_url:
            raise UsageError(
                f"--engine {self.engine} does not use a running server; leave out --base-url or --engine"
            )
        if self.engine:
            return self.engine
        if os.path.isdir(self.model) and not self.base_url:
            return "local"
        if self.urls:
            return "openai"
        raise UsageError(
            f"no server is given for the model {self.model!r}; give the --base-url of one that serves it "
            "(e.g. http://localhost:8000/v1), or a model directory"
        )

    def check_cluster(self, address: str | None) -> None:
        """Raises UsageError if replicas are given without a cluster or with another engine than vllm."""
        given = [
            f"--{name.replace('_', '-')}"
            for name in ("replicas", "gpus_per_replica")
            if getattr(self, name) is not None
        ]
        if given and self.kind != "vllm":
            raise UsageError(
                f"{' and '.join(given)}: only engine vllm has replicas, and {self.model!r} uses {self.kind}; "
                "give --engine vllm, or leave it out"
            )
        if given and not address:
            raise UsageError(
                f"{' and '.join(given)}: replicas run on a Ray cluster, and none is given; give --ray auto "
                "(in a recipe cluster: auto), or leave it out for one vLLM on this machine"
            )

    def identity(self) -> dict[str, Any]:
        """What the model is, independent of its location: see vlt.workspace.digest."""
        from vlt.workspace.digest import model_identity

        return model_identity(self.model, self.revision)

    def sized(self) -> Model:
        """Itself, with the range of pixels as the model can apply it: see vlt.engine.size_rule.

        Raises UserError, before any request, for a range that would not be applied.
        """
        if self.pixels is None:
            return self
        from vlt.engine.size_rule import resolved

        served = self.kind != "local"
        return replace(
            self, pixels=str(resolved(self.size, self.model, self.revision, served=served))
        )

    def _own_range(self) -> Pixels | None:
        """The range to which the model's processor itself resizes images, if a range is given."""
        if self.pixels is None:
            return None
        from vlt.engine.size_rule import model_rule

        rule = model_rule(self.model, self.revision)
        return rule.own if rule else None

    def open(self, workspace: Workspace, limits: Limits | None = None) -> Engine:
        """A ready engine; the caller closes it.

        It reads images from the workspace, vLLM's output goes to the workspace's logs/, and with
        `limits.batch` open batches are recorded in the workspace's journal.
        """
        from vlt.engine.limits import Limits
        from vlt.images.pixels import sizing

        limits = limits or Limits()
        kind = self.kind
        self.check_cluster(ray_address())
        if kind == "local":  # its processor resizes images itself
            from vlt.engine.local import LocalEngine

            if workspace.progress:
                workspace.progress(f"loading {self.model}")
            return LocalEngine(self.model, load_image=workspace.images.read, revision=self.revision)
        load_image = sizing(workspace.images.read, own=self._own_range())
        if kind == "vllm":
            return self._serve(workspace, limits, load_image)
        if limits.batch:
            from vlt.engine.batch import BatchEngine

            return BatchEngine(
                self.model,
                _one(self.urls),
                load_image=load_image,
                ledger=workspace.journal,
                tell=workspace.progress,
            )
        from vlt.engine.openai import TIMEOUT_SECONDS, OpenAIEngine

        return OpenAIEngine(
            self.model,
            self.urls,
            load_image=load_image,
            concurrency=self.concurrency or CONCURRENCY,
            timeout=self.timeout or TIMEOUT_SECONDS,
            rate_limiter=limits.rate_limiter(),
            budget=limits.money(self),
            tell=workspace.progress,
            notice=workspace.notice,
        )

    def _serve(self, workspace: Workspace, limits: Limits, load_image: LoadImage) -> Engine:
        """Start vLLM: one server on this machine, or replicas on the cluster."""
        from vlt.engine.vllm_server import Serving, command_of

        folder = workspace.logs or Path(tempfile.mkdtemp(prefix="vlt-logs-"))
        folder.mkdir(parents=True, exist_ok=True)
        serving = Serving(
            self.model,
            folder / f"vllm-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log",
            command=command_of(self.vllm_command),
            arguments=self.vllm_args or os.environ.get("VLT_VLLM_ARGS") or "",
            revision=self.revision,
        )
        asking: dict[str, Any] = {
            "load_image": load_image,
            "concurrency": self.concurrency or VLLM_CONCURRENCY,
            **({"timeout": self.timeout} if self.timeout else {}),
            "rate_limiter": limits.rate_limiter(),
            "tell": workspace.progress,
        }
        if ray_address():
            from vlt.cluster.connection import connected
            from vlt.engine.replica_count import wanted
            from vlt.engine.replicas import ReplicasEngine

            ray = connected()
            place = wanted(self, ray)
            return ReplicasEngine(ray, serving, place, notice=workspace.notice, **asking)
        from vlt.engine.vllm import VLLMEngine

        return VLLMEngine(serving, **asking)


def _count(replicas: object) -> int:
    """A number of replicas, also as text from the command line."""
    try:
        number = int(str(replicas))
    except ValueError:
        number = 0
    if number < 1:
        raise UsageError(f"replicas = {replicas!r}: give a number from 1 on, or auto")
    return number


def _one(urls: Sequence[str]) -> str:
    if len(urls) != 1:
        raise UsageError("--batch goes to one server; give --base-url once")
    return urls[0]
