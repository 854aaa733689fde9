"""Requests to models and their results: the types that engines, journal and stages share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

import orjson
from annotated_types import Ge, Gt, Le

from vlt.fields import FORBID, Option, check

_SEEDS = 2**31 - 2**16
"""Some servers accept signed 32-bit seeds; a sample's index has 16 bits."""
Message = dict[str, Any]
"""{"role": ..., "content": str | [{"type": "text", "text": ...} | {"type": "image", "image": sha256}]}"""


@dataclass(frozen=True)
class Sampling:
    """How a completion is sampled. Every field is part of a completion's identity."""

    __pydantic_config__ = FORBID

    temperature: Annotated[float, Ge(0)] = 1.0
    """0 is greedy."""
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    """Sample from the most likely tokens with this total probability."""
    top_k: Annotated[int | None, Ge(1)] = None
    """Sample from this many of the most likely tokens."""
    max_tokens: Annotated[int, Ge(1)] = 2048
    """Maximum tokens of one response."""
    seed: int | None = None
    """Each sample's seed is derived from this, its request and its number, if the engine supports seeds."""
    stop: Annotated[tuple[str, ...], Option(metavar="TEXT")] = ()
    """A text at which a response ends; repeatable."""
    extra: Annotated[Mapping[str, Any], Option(metavar="KEY=VALUE")] = field(default_factory=dict)
    """A server-specific field: repetition_penalty=1.05; null leaves a field out: temperature=null."""

    def __post_init__(self) -> None:
        check(self)

    def as_json(self) -> dict[str, Any]:
        """All fields, including those with default values, since defaults may change."""
        out = {f.name: getattr(self, f.name) for f in fields(Sampling)}
        return {**out, "stop": list(self.stop), "extra": dict(self.extra)}


@dataclass(frozen=True)
class Request:
    """Samples requested for one prompt. `key` identifies everything that determines an answer."""

    key: bytes
    messages: Sequence[Message]
    samples: tuple[int, ...]
    """The indices of the wanted samples, ascending; a subset of 0 .. k-1."""
    sampling: Sampling
    response_format: Mapping[str, Any] | None = None
    """The format of the reply, as in OpenAI's API, for servers that support it. It follows from the
    messages, and a server may ignore or reject it, so it is not part of the key."""


@dataclass(frozen=True)
class Completion:
    """One sample that has arrived."""

    key: bytes
    sample: int
    response: str
    """Everything that the model wrote; reasoning that a server separated is put back in <think>."""
    finish_reason: str
    """stop or length, or the server's own word if its meaning is unknown."""
    prompt_tokens: int
    completion_tokens: int
    prompts: int | None = None
    """How often its prompt was paid for with it: 1, or 0 if it is counted with another sample of the same
    reply; None if unknown."""


@dataclass(frozen=True)
class Failure:
    """Samples that the engine gave up, with the server's message as the reason."""

    key: bytes
    samples: tuple[int, ...]
    reason: str


def seed_of(key: bytes, seed: int | None, sample: int) -> int | None:
    """The seed that a server gets for a sample, in [0, 2**31); None if none is set.

    Consecutive samples have consecutive seeds, since a server that samples n at once increments the first
    one's. The key is mixed in, so that rows with one seed do not get the same random numbers.
    """
    if seed is None:
        return None
    digest = hashlib.blake2b(key + b"%d" % seed, digest_size=8).digest()
    return int.from_bytes(digest) % _SEEDS + sample


def request_key(model: Mapping[str, Any], messages: Sequence[Message], sampling: Sampling) -> bytes:
    """16 bytes of everything that determines an answer, except the sample's index.

    `model` is the model's identity (see vlt.workspace.digest.model_identity): never an endpoint or a path.
    """
    return key_maker(model, sampling)(messages)


def key_maker(model: Mapping[str, Any], sampling: Sampling) -> Callable[[Sequence[Message]], bytes]:
    """`request_key` for many messages: what they share is hashed once (3 microseconds per key)."""
    shared = [dict(model), sampling.as_json()]
    start = hashlib.blake2b(orjson.dumps(shared, option=orjson.OPT_SORT_KEYS), digest_size=16)

    def key(messages: Sequence[Message]) -> bytes:
        whole = start.copy()
        whole.update(orjson.dumps(messages, option=orjson.OPT_SORT_KEYS))
        return whole.digest()

    return key
