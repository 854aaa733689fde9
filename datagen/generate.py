"""Asks a model about every row of a dataset: the meeting of rows, journal and engine.

A generation stage says how a row becomes messages and what becomes of the answers, and this does
the rest: it asks only for what the journal lacks, records every answer when it arrives, and gives
the rows back in their order with their answers. To write the next stage, copy datagen/captions.py.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Required, TypedDict

import pyarrow as pa

from vlt.datagen.adaptive import UntilCorrect, correct_counts
from vlt.datagen.estimate import Plan, Planned
from vlt.datagen.scan import Group, batches, in_search, row_groups
from vlt.datagen.tally import Tally
from vlt.engine import Engine
from vlt.engine.budget import Price
from vlt.engine.size_rule import resolved
from vlt.images.pixels import Pixels
from vlt.request import Completion, Failure, Message, Request, Sampling, key_maker
from vlt.workspace.digest import model_identity
from vlt.workspace.journal import Journal
from vlt.workspace.manifest import Stage
from vlt.workspace.progress import beat
from vlt.workspace.store import Dataset, Store

Progress = Callable[[str], None]
"""Told the state, one line at a time; the newest replaces the one before."""
Answer = Completion | str
"""An answer, or the reason why there is none."""
Messages = Callable[[dict[str, Any]], Sequence[Message] | str]
"""What a row asks, or the reason why it cannot be asked."""

KEY_BYTES = 16


class Asking(TypedDict, total=False):
    """What every generation stage takes as keywords and hands on to `Ask`, where each is described."""

    model: Required[str]
    journal: Required[Journal]
    engine: Required[Callable[[], Engine]]
    revision: str | None
    limit: int | None
    progress: Progress | None
    price: Price | None
    probe: int | None
    until: UntilCorrect | None
    pixels: Pixels | None
    retry_failed: bool


@dataclass(frozen=True, kw_only=True)
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
    price: Price | None = None
    """What the tokens cost; only told, in the progress and the manifest."""
    probe: int | None = None
    """Ask only so many requests, count the others and raise Planned: a dry run."""
    until: UntilCorrect | None = None
    """Draw more than k samples where too few are right."""
    pixels: Pixels | None = None
    """The size that images are shown in; None: as they are."""
    retry_failed: bool = False
    """Make a version again that lacks rows which failed."""
    identity: dict[str, Any] = field(init=False)
    """What the model is, apart from where it lies."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity", model_identity(self.model, self.revision))
        object.__setattr__(self, "pixels", resolved(self.pixels, self.model, self.revision))
        if self.until:
            self.until.check(self.k)

    def parameters(self) -> dict[str, Any]:
        """What of this belongs to a stage's identity."""
        until = self.until
        return {
            "model": self.identity,
            "sampling": self.sampling.as_json(),
            "k": self.k,
            **({"until_correct": until.correct, "max_samples": until.most} if until else {}),
            **({"pixels": str(self.pixels)} if self.pixels else {}),
            "limit": self.limit,
        }

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Dollars, where the model's price is known."""
        return self.price.of(prompt_tokens, completion_tokens) if self.price else None

    def found(
        self, store: Store, name: str, stage: Stage, parents: Sequence[Dataset]
    ) -> Dataset | None:
        """The version that is there already, if it need not be made again."""
        found = store.find(name, stage, parents)
        return None if found and self.retry_failed and found.manifest.failed else found

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
        self, parent: Dataset, messages: Messages, reads: Sequence[str]
    ) -> Iterator[tuple[pa.RecordBatch, list[list[Answer]]]]:
        """Batches of the parent's rows in order, with each row's answers: k, or more with `until`.

        `reads` are the columns that `messages` needs, so no others are read while asking.
        Everything is asked before the first batch comes; meanwhile 22 bytes a row are kept.
        """
        run = _Run(self, parent, messages, reads)
        try:
            if self.probe is not None:
                raise Planned(run.plan(self.probe))
            run.ask(run.missing())
            while self.until and run.want_more(self.until):
                run.ask(run.missing_again())
        finally:
            run.close()
        for start, batch in batches(run.groups):
            yield batch, run.answers_of(start, batch.num_rows)


class _Run:
    """One pass over the rows: which samples are missing, and what became of them."""

    def __init__(self, ask: Ask, parent: Dataset, messages: Messages, reads: Sequence[str]):
        self.of, self.parent, self.messages, self.reads = ask, parent, messages, reads
        self.engine: Engine | None = None
        self.key_of = key_maker(ask.identity, ask.sampling)
        self.groups = row_groups(parent, ask.limit)
        rows = sum(group.rows for group in self.groups)
        self.keys = bytearray(KEY_BYTES * rows)
        """Of each row, in the rows' order."""
        self.wanted, self.drawn, self.correct = array("H", [ask.k]) * rows, array("H"), array("H")
        """Of each row: samples wanted; and with `until`, those graded, and the right among them."""
        self.failures: dict[tuple[bytes, int], str] = {}
        self.open: dict[bytes, int] = {}
        """Samples in flight of each request: two rows with the same request share its answers."""
        self.tally = Tally(ask.k * rows, price=ask.price)

    def ask(self, requests: Iterator[Request]) -> None:
        """Ask, and record what comes; the engine is opened for the first request."""
        first = next(requests, None)
        if first is None:
            return
        self.engine = self.engine or self.of.engine()
        for result in self.engine.complete(chain([first], requests)):
            self.record(result)

    def close(self) -> None:
        """Close the engine, if one was needed."""
        if self.engine:
            self.engine.close()
            self.engine = None

    def plan(self, probe: int) -> Plan:
        """Ask `probe` requests, and count the others."""
        missing = self.missing()
        self.ask(islice(missing, probe))
        seconds = self.tally.seconds
        samples = [len(request.samples) for request in missing]
        return Plan(len(samples), sum(samples), seconds, self.tally)

    def missing(self) -> Iterator[Request]:
        """Requests for what is neither in the journal nor in flight, row by row."""
        for start, batch in batches(in_search(self.groups, self.lacks), self.reads):
            keys, asked = self.keyed(batch)
            self.keys[start * KEY_BYTES : (start + len(keys)) * KEY_BYTES] = b"".join(keys)
            yield from self.requests(keys, asked, [range(self.of.k)] * len(keys))

    def keyed(self, batch: pa.RecordBatch) -> tuple[list[bytes], list[Sequence[Message] | str]]:
        """Of each row: the key of its request, and what it asks or why it cannot be asked."""
        asked = [self.messages(row) for row in batch.to_pylist()]
        return [_no_key(m) if isinstance(m, str) else self.key_of(m) for m in asked], asked

    def lacks(self, group: Group) -> bool:
        """Whether a wanted sample of a group's rows is not in the journal."""
        for _, batch in batches([group], self.reads):
            keys, asked = self.keyed(batch)
            there = self.of.journal.samples(keys)
            for key, content in zip(keys, asked, strict=True):
                have = there.get(key, set())
                if not isinstance(content, str) and any(s not in have for s in range(self.of.k)):
                    return True
        return False

    def requests(
        self, keys: list[bytes], asked: list[Sequence[Message] | str], wanted: list[range]
    ) -> Iterator[Request]:
        """Requests for those of the wanted samples that are not there."""
        there = self.of.journal.samples(keys)
        for key, content, samples in zip(keys, asked, wanted, strict=True):
            if isinstance(content, str):
                self.fail(key, samples, content)
                continue
            have = there.setdefault(key, set())
            missing = tuple(s for s in samples if s not in have)
            self.tally.had += len(samples) - len(missing)
            have.update(missing)  # a second row of this batch may ask the same
            if missing and key not in self.open and (key, missing[0]) not in self.failures:
                self.open[key] = len(missing)
                yield Request(key, content, missing, self.of.sampling)

    def want_more(self, until: UntilCorrect) -> bool:
        """Grade what is new, and want k more samples of the rows that lack right ones."""
        more = False
        self.drawn = self.drawn or array("H", [0]) * len(self.wanted)
        self.correct = self.correct or array("H", [0]) * len(self.wanted)
        for start, batch in batches(self.groups):
            new = [
                i for i in range(batch.num_rows) if self.drawn[start + i] < self.wanted[start + i]
            ]
            answers = self.answers_of(start, batch.num_rows)
            rows = batch.take(pa.array(new, pa.int32())).to_pylist()
            texts = [
                [
                    a.response
                    for a in answers[i][self.drawn[start + i] :]
                    if isinstance(a, Completion)
                ]
                for i in new
            ]
            for i, correct in zip(new, correct_counts(rows, texts), strict=True):
                row = start + i
                self.correct[row] += correct
                self.drawn[row] = self.wanted[row]
                failed = any(isinstance(a, str) for a in answers[i])
                if self.correct[row] < until.correct and not failed:
                    self.wanted[row] = min(self.wanted[row] + self.of.k, until.most)
                    self.tally.total += self.wanted[row] - self.drawn[row]
                    more = more or self.wanted[row] > self.drawn[row]
        return more

    def missing_again(self) -> Iterator[Request]:
        """Requests for the samples that are wanted since the last pass."""
        for start, batch in batches(self.groups, self.reads):
            ranges = [
                range(self.drawn[row], self.wanted[row]) for row in range(start, start + len(batch))
            ]
            more = [i for i, samples in enumerate(ranges) if samples]
            rows = batch.take(pa.array(more, pa.int32())).to_pylist()
            keys = self.keys_of(start, len(batch))
            asked = [self.messages(row) for row in rows]
            yield from self.requests([keys[i] for i in more], asked, [ranges[i] for i in more])

    def answers_of(self, start: int, rows: int) -> list[list[Answer]]:
        """What came of the wanted samples of some rows."""
        keys = self.keys_of(start, rows)
        found = {(c.key, c.sample): c for c in self.of.journal.read(list(set(keys)))}
        return [
            [found.get((key, s)) or self.failures[key, s] for s in range(self.wanted[start + i])]
            for i, key in enumerate(keys)
        ]

    def record(self, result: Completion | Failure) -> None:
        if isinstance(result, Completion):
            self.of.journal.put(result)
            if result.key not in self.open:
                return  # of a batch that another run had sent off
            self.tally.arrived += 1
            self.tally.tokens += result.completion_tokens
            if self.settle(result.key, 1):  # the samples of a request share its prompt
                self.tally.prompt_tokens += result.prompt_tokens
        else:
            self.fail(result.key, result.samples, result.reason)
            self.settle(result.key, len(result.samples))
        if self.tally.due():
            tally = self.tally
            beat(tally.done, tally.total, "samples", tally.speed or 0)
            if self.of.progress:
                self.of.progress(tally.line())

    def settle(self, key: bytes, samples: int) -> bool:
        """Take samples off those in flight; whether they were the last of their request."""
        self.open[key] -= samples
        if self.open[key]:
            return False
        del self.open[key]
        return True

    def fail(self, key: bytes, samples: Sequence[int], reason: str) -> None:
        self.failures.update({(key, sample): reason for sample in samples})
        self.tally.failed += len(samples)

    def keys_of(self, start: int, rows: int) -> list[bytes]:
        places = range(start * KEY_BYTES, (start + rows) * KEY_BYTES, KEY_BYTES)
        return [bytes(self.keys[place : place + KEY_BYTES]) for place in places]


def _no_key(reason: str) -> bytes:
    """In place of a request's key, for rows that cannot be asked for this reason."""
    return hashlib.blake2b(reason.encode(), digest_size=KEY_BYTES).digest()
