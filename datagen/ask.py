"""Asks a model about every row of a dataset: the meeting of rows, journal and engine.

A generation stage says how a row becomes messages and what becomes of the answers, and this does
the rest: it asks only for what the journal lacks, records every answer when it arrives, and gives
the rows back in their order with their answers. To write the next stage, copy datagen/captions.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pyarrow as pa

from datagen.tally import Tally
from vlt.digest import model_identity
from vlt.engine import Engine
from vlt.journal import Journal
from vlt.request import Completion, Failure, Message, Request, Sampling, request_key
from vlt.store import Dataset, Store

Progress = Callable[[str], None]
"""Told the state, one line at a time; the newest replaces the one before."""
Answer = Completion | str
"""An answer, or the reason why there is none."""
Messages = Callable[[dict[str, Any]], Sequence[Message] | str]
"""What a row asks, or the reason why it cannot be asked."""

ROWS_AT_A_TIME = 256
KEY_BYTES = 16


@dataclass(frozen=True)
class Ask:
    """Who is asked, how, and how often."""

    model: str
    """A model's name, or a directory."""
    journal: Journal
    engine: Callable[[], Engine]
    """Opens the engine; called only when something is missing, so nothing is loaded in vain."""
    sampling: Sampling
    k: int = 1
    """Samples of each row, numbered from 0."""
    revision: str | None = None
    limit: int | None = None
    """Take only the first rows. Part of what the stage is, not of what a request is."""
    progress: Progress | None = None
    identity: dict[str, Any] = field(init=False)
    """What the model is, apart from where it lies."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity", model_identity(self.model, self.revision))

    def parameters(self) -> dict[str, Any]:
        """What of this belongs to a stage's identity."""
        return {
            "model": self.identity,
            "sampling": self.sampling.as_json(),
            "k": self.k,
            "limit": self.limit,
        }

    def label(self, store: Store) -> str:
        """The model in a row: its name, or the workspace's name for it, or its digest; no path."""
        if "digest" not in self.identity:
            return f"{self.model}@{self.revision}" if self.revision else self.model
        checkpoint = store.checkpoint_at(self.model)
        return checkpoint.ref if checkpoint else f"sha256:{self.identity['digest'][:16]}"

    def parents(self, store: Store, rows: Dataset) -> list[Dataset]:
        """The rows' dataset, and the model where it is a checkpoint of this workspace."""
        checkpoint = store.checkpoint_at(self.model)
        return [rows, checkpoint] if checkpoint else [rows]

    def answers(
        self, parent: Dataset, messages: Messages
    ) -> Iterator[tuple[pa.RecordBatch, list[list[Answer]]]]:
        """Batches of the parent's rows in order, with the k answers of each row.

        Everything is asked before the first batch comes. What is kept meanwhile is 16 bytes a row.
        """
        run = _Run(self, parent, messages)
        run.ask_for_the_missing()
        for start, batch in run.batches():
            keys = run.keys_of(start, batch.num_rows)
            found = {(c.key, c.sample): c for c in self.journal.read(list(set(keys)))}
            yield (
                batch,
                [
                    [found.get((key, s)) or run.failures[key, s] for s in range(self.k)]
                    for key in keys
                ],
            )


class _Run:
    """One pass over the rows: which samples are missing, and what became of them."""

    def __init__(self, ask: Ask, parent: Dataset, messages: Messages):
        self.ask, self.parent, self.messages = ask, parent, messages
        self.keys = bytearray()
        self.failures: dict[tuple[bytes, int], str] = {}
        self.open: dict[bytes, int] = {}
        """Samples in flight of each request: two rows with the same request share its answers."""
        rows = parent.manifest.rows
        self.tally = Tally(total=ask.k * (min(rows, ask.limit) if ask.limit else rows))

    def ask_for_the_missing(self) -> None:
        requests = self.missing()
        first = next(requests, None)
        if first is None:
            return
        engine = self.ask.engine()
        try:
            for result in engine.complete(chain([first], requests)):
                self.record(result)
        finally:
            engine.close()

    def missing(self) -> Iterator[Request]:
        """Requests for the samples that are neither in the journal nor in flight, row by row."""
        every, sampling = range(self.ask.k), self.ask.sampling
        for _, batch in self.batches():
            asked = [self.messages(row) for row in batch.to_pylist()]
            keys = [
                _no_key(m) if isinstance(m, str) else request_key(self.ask.identity, m, sampling)
                for m in asked
            ]
            self.keys += b"".join(keys)
            there = self.ask.journal.samples(keys)
            for key, content in zip(keys, asked, strict=True):
                have = there.setdefault(key, set())
                wanted = tuple(s for s in every if s not in have)
                self.tally.had += len(every) - len(wanted)
                have.update(wanted)  # a second row of this batch may ask the same
                if isinstance(content, str):
                    self.fail(key, wanted, content)
                elif wanted and key not in self.open and (key, wanted[0]) not in self.failures:
                    self.open[key] = len(wanted)
                    yield Request(key, content, wanted, sampling)

    def record(self, result: Completion | Failure) -> None:
        if isinstance(result, Completion):
            self.ask.journal.put(result)
            self.tally.arrived += 1
            self.tally.tokens += result.completion_tokens
            self.settle(result.key, 1)
        else:
            self.fail(result.key, result.samples, result.reason)
            self.settle(result.key, len(result.samples))
        if self.ask.progress and self.tally.due():
            self.ask.progress(self.tally.line())

    def settle(self, key: bytes, samples: int) -> None:
        self.open[key] -= samples
        if not self.open[key]:
            del self.open[key]

    def fail(self, key: bytes, samples: Sequence[int], reason: str) -> None:
        self.failures.update({(key, sample): reason for sample in samples})
        self.tally.failed += len(samples)

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(number of the first row, rows), up to the limit."""
        start, limit = 0, self.ask.limit
        for batch in self.parent.batches(size=ROWS_AT_A_TIME):
            rows = batch if limit is None else batch.slice(0, limit - start)
            if not rows.num_rows:
                return
            yield start, rows
            start += rows.num_rows

    def keys_of(self, start: int, rows: int) -> list[bytes]:
        places = range(start * KEY_BYTES, (start + rows) * KEY_BYTES, KEY_BYTES)
        return [bytes(self.keys[place : place + KEY_BYTES]) for place in places]


def _no_key(reason: str) -> bytes:
    """In place of a request's key, for rows that cannot be asked for this reason."""
    return hashlib.blake2b(reason.encode(), digest_size=KEY_BYTES).digest()
