"""Requests to a judge, and its replies from the journal or the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vlt.engine.limits import Limits
from vlt.engine.model import Model
from vlt.images.pixels import Pixels, sized
from vlt.judging.rubric import Rubric
from vlt.prompts import interleave
from vlt.request import Completion, Message, Request, Sampling, key_maker
from vlt.workspace.workspace import Workspace

KEYS_AT_A_TIME = 256
LACKS = "the row has no "
"""Prefix of the reason why a row cannot be judged."""
NO_IMAGE = f"{LACKS}image to judge by"


def messages_for(
    rubric: Rubric, row: Mapping[str, Any], *, image: bool, size: Pixels | None = None
) -> list[Message] | str:
    """The messages to a judge about a row, or why there are none; with `image` it sees the row's images."""
    if lacks := rubric.lacks(row):
        return f"{LACKS}{lacks}"
    if image and not row.get("images"):
        return NO_IMAGE
    return with_system(
        rubric, rubric.filled(row), list(sized(dict(row), size)["images"]) if image else []
    )


def with_system(rubric: Rubric, text: str, images: list[str]) -> list[Message]:
    """The rubric's system prompt, and a user message with the images before its text."""
    system = [{"role": "system", "content": rubric.system}] if rubric.system else []
    return [*system, {"role": "user", "content": interleave(text, images) if images else text}]


def shown_of(rubric: Rubric, row: Mapping[str, Any]) -> list[str]:
    """The texts of a row that a judge reads and must not repeat instead of judging them."""
    return [str(row.get(name) or "") for name in rubric.written]


@dataclass
class Judge:
    """A model that is asked from within another stage, through the journal.

    The engine is opened for what the journal lacks, and stays open until `close`.
    """

    workspace: Workspace
    model: Model
    sampling: Sampling
    limits: Limits = field(default_factory=Limits)
    response_format: Mapping[str, Any] | None = None
    tell: Callable[[str], None] | None = None
    asked: int = 0
    """Requests sent to the engine."""
    failed: int = 0
    """Those without a reply."""
    identity: dict[str, Any] = field(init=False)
    _engine: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        name = self.workspace.resolve_model(self.model.model)
        self.model = replace(self.model, model=name).sized()
        self.identity = self.model.identity()

    def replies(self, asked: Sequence[Sequence[Message]]) -> list[Completion | str]:
        """The judge's reply to each, or why there is none; identical requests are sent once."""
        key_of = key_maker(self.identity, self.sampling)
        keys = [key_of(messages) for messages in asked]
        wanted = dict(zip(keys, asked, strict=True))
        found: dict[bytes, Completion | str] = {}
        distinct = list(wanted)
        for start in range(0, len(distinct), KEYS_AT_A_TIME):
            part = distinct[start : start + KEYS_AT_A_TIME]
            found.update((c.key, c) for c in self.workspace.journal.read(part) if c.sample == 0)
        missing = [key for key in distinct if key not in found]
        if missing:
            self._engine = self._engine or self.model.open(self.workspace, self.limits)
            form = self.response_format
            requests = (Request(k, wanted[k], (0,), self.sampling, form) for k in missing)
            for done, result in enumerate(self._engine.complete(requests), 1):
                if isinstance(result, Completion):
                    self.workspace.journal.put(result)
                    found[result.key] = result
                else:
                    found[result.key] = result.reason
                    self.failed += 1
                self.asked += 1
                if self.tell:
                    self.tell(f"judge: {done:,} of {len(missing):,}")
        return [found[key] for key in keys]

    def close(self) -> None:
        """Close the engine, if one was opened."""
        if self._engine:
            self._engine.close()
            self._engine = None
