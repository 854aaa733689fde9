"""A model, and how to reach it: the one object by which commands, recipes and Python name models."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt

from vlt.errors import UsageError
from vlt.fields import FORBID, Option, Written, check

if TYPE_CHECKING:
    from vlt.engine import Engine
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

    def __post_init__(self) -> None:
        check(self)
        urls = (self.base_url,) if isinstance(self.base_url, str) else tuple(self.base_url)
        object.__setattr__(self, "base_url", urls)
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
        if kind == "local":  # its processor resizes images itself
            from vlt.engine.local import LocalEngine

            if workspace.progress:
                workspace.progress(f"loading {self.model}")
            return LocalEngine(self.model, load_image=workspace.images.read, revision=self.revision)
        load_image = sizing(workspace.images.read, own=self._own_range())
        if kind == "vllm":
            from vlt.engine.vllm import COMMAND, VLLMEngine

            folder = workspace.logs or Path(tempfile.mkdtemp(prefix="vlt-logs-"))
            return VLLMEngine(
                self.model,
                load_image=load_image,
                log=folder / f"vllm-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log",
                command=self.vllm_command or os.environ.get("VLT_VLLM_COMMAND") or COMMAND,
                arguments=self.vllm_args or os.environ.get("VLT_VLLM_ARGS") or "",
                revision=self.revision,
                concurrency=self.concurrency or VLLM_CONCURRENCY,
                **({"timeout": self.timeout} if self.timeout else {}),
                rate_limiter=limits.rate_limiter(),
                tell=workspace.progress,
            )
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


def _one(urls: Sequence[str]) -> str:
    if len(urls) != 1:
        raise UsageError("--batch goes to one server; give --base-url once")
    return urls[0]
