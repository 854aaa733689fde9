"""What is asked of a model and what comes back: the words that engines, journal and stages share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

import orjson
from annotated_types import Ge, Gt, Le

from vlt.fields import FORBID, Option, check

_SEEDS = 2**31 - 2**16
"""Some servers take 32 bits with a sign; a sample's index has 16."""
Message = dict[str, Any]
"""{"role": ..., "content": str | [{"type": "text", "text": ...} | {"type": "image", "image": sha256}]}"""


@dataclass(frozen=True)
class Sampling:
    """How a completion is drawn. Every field that is set is part of a completion's identity."""

    __pydantic_config__ = FORBID

    temperature: Annotated[float, Ge(0)] = 1.0
    """0 is greedy."""
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    """Draw from the likeliest tokens that together have this share."""
    top_k: Annotated[int | None, Ge(1)] = None
    """Draw from so many of the likeliest tokens."""
    max_tokens: Annotated[int, Ge(1)] = 2048
    """Of one response."""
    seed: int | None = None
    """Where the engine can, each sample is drawn with a seed made of this, its request and its number."""
    stop: Annotated[tuple[str, ...], Option(metavar="TEXT")] = ()
    """A text at which a response ends; it may be given several times."""
    extra: Annotated[Mapping[str, Any], Option(metavar="KEY=VALUE")] = field(default_factory=dict)
    """A field of the server's own: repetition_penalty=1.05; null leaves a field out: temperature=null."""

    def __post_init__(self) -> None:
        check(self)

    def as_json(self) -> dict[str, Any]:
        """The fields that differ from the defaults are not left out: defaults may change."""
        out = {f.name: getattr(self, f.name) for f in fields(Sampling)}
        return {**out, "stop": list(self.stop), "extra": dict(self.extra)}


@dataclass(frozen=True)
class Request:
    """Samples wanted of one prompt. `key` names the prompt and all that determines an answer."""

    key: bytes
    messages: Sequence[Message]
    samples: tuple[int, ...]
    """The indices of the wanted samples, ascending; a subset of 0 .. k-1."""
    sampling: Sampling
    response_format: Mapping[str, Any] | None = None
    """What a server that can is to hold the reply to, as OpenAI's API has it. It follows from what is
    asked, and a server may ignore or refuse it: it is no part of the key."""


@dataclass(frozen=True)
class Completion:
    """One sample that has arrived."""

    key: bytes
    sample: int
    response: str
    """All that the model wrote; reasoning that a server had set apart is joined back in <think>."""
    finish_reason: str
    """stop or length, else the server's own word where nobody knows what it means."""
    prompt_tokens: int
    completion_tokens: int
    prompts: int | None = None
    """How often its prompt was paid for with it: 1, or 0 where another sample of the same reply has
    it; None where nobody wrote that down."""


@dataclass(frozen=True)
class Failure:
    """Samples that the engine gave up on, with the server's words as the reason."""

    key: bytes
    samples: tuple[int, ...]
    reason: str


def seed_of(key: bytes, seed: int | None, sample: int) -> int | None:
    """The seed that a server gets for a sample, in [0, 2**31); None where none is set.

    Neighbouring samples have neighbouring seeds, since a server that draws n at once counts on from
    the first one's. The key is mixed in: with one seed for all rows, all rows would draw in step.
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
    """`request_key` for many messages: what they share is hashed once (3 microseconds a key)."""
    shared = [dict(model), sampling.as_json()]
    start = hashlib.blake2b(orjson.dumps(shared, option=orjson.OPT_SORT_KEYS), digest_size=16)

    def key(messages: Sequence[Message]) -> bytes:
        whole = start.copy()
        whole.update(orjson.dumps(messages, option=orjson.OPT_SORT_KEYS))
        return whole.digest()

    return key
