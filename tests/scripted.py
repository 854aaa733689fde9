"""An engine with scripted answers, for tests of what is done with answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vlt.engine import Engine
from vlt.engine.model import Model
from vlt.request import Completion, Failure, Request


class Scripted:
    """Answers by the user text: (response, finish reason), the same for each sample; else fails."""

    def __init__(self, says: Mapping[str, tuple[str, str]]):
        self.says = says
        self.asked = 0

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion | Failure]:
        """See vlt.engine.Engine."""
        for request in requests:
            self.asked += 1
            content = request.messages[-1]["content"]
            if content not in self.says:
                yield Failure(request.key, request.samples, "not in the script")
                continue
            response, finish_reason = self.says[content]
            for sample in request.samples:
                yield Completion(
                    request.key, sample, response, finish_reason, 5, len(response.split())
                )

    def close(self) -> None:
        """Nothing to free."""


@dataclass(frozen=True)
class Through(Model):
    """A model for which a test's own engine answers, as a server would."""

    opens: Callable[[], Engine] | None = None

    @property
    def kind(self) -> str:
        return "openai"

    def open(self, *_: Any) -> Engine:
        assert self.opens
        return self.opens()


class Answering:
    """Answers as a function of the request's last message and the sample's number says."""

    def __init__(self, says: Callable[[Any, int], str]):
        self.says = says
        self.asked: list[tuple[Any, int]] = []
        """(content of the last message, sample) of every answer that was given."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion | Failure]:
        """See vlt.engine.Engine."""
        for request in requests:
            content = request.messages[-1]["content"]
            for sample in request.samples:
                self.asked.append((content, sample))
                text = self.says(content, sample)
                yield Completion(request.key, sample, text, "stop", 5, len(text.split()), 1)

    def close(self) -> None:
        """Nothing to free."""


def words_of(content: Any) -> str:
    """The text of a message, whatever its images."""
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block["type"] == "text")


def images_of(content: Any) -> list[str]:
    """The images (sha256) of a message."""
    return [b["image"] for b in content if b["type"] == "image"] if type(content) is list else []
