"""Asks a model about every row of a dataset: the meeting of rows, journal and engine.

A generation stage says how a row becomes messages and what becomes of the answers, and this does
the rest: it asks only for what the journal lacks, records every answer when it arrives, and gives
the rows back in their order with their answers. To write the next stage, copy datagen/captions.py.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from vlt.datagen.adaptive import correct_counts
from vlt.datagen.answers import KEY_BYTES, Answer, Answers, Check, Tokens
from vlt.datagen.asking import Asking
from vlt.datagen.estimate import Plan, Planned
from vlt.datagen.scan import Group, batches, in_search, row_groups
from vlt.datagen.tally import Tally
from vlt.engine import Engine
from vlt.engine.budget import Price
from vlt.engine.model import Model
from vlt.prompts import CannotAsk
from vlt.request import Completion, Failure, Message, Request, key_maker
from vlt.thinking import OPEN
from vlt.workspace.manifest import Stage
from vlt.workspace.progress import report_progress
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

Messages = Callable[[dict[str, Any]], Sequence[Message] | str]
"""What a row asks, or the reason why it cannot be asked."""


@dataclass(frozen=True)
class Ask:
    """One stage's questions to one model: `asking` says what and how often, `workspace` keeps them."""

    workspace: Workspace
    model: Model
    asking: Asking
    identity: dict[str, Any] = field(init=False)
    """What the model is, apart from where it lies."""
    price: Price | None = field(init=False)
    """What the tokens cost; only told, in the progress and the manifest."""
    facts: dict[str, Any] = field(init=False, default_factory=dict)
    """Of the model, for the manifest: `prompt_opens`, known when its answers have been read."""

    def __post_init__(self) -> None:
        name = self.workspace.resolve_model(self.model.model)
        model = replace(self.model, model=name).sized()
        self.asking.check_for(model)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "identity", model.identity())
        object.__setattr__(self, "price", self.asking.price(model))

    def parameters(self) -> dict[str, Any]:
        """What of this belongs to a stage's identity."""
        pixels = {"pixels": self.model.pixels} if self.model.pixels else {}
        return {"model": self.identity, **self.asking.parameters(), **pixels}

    def cost(self, tokens: Tokens) -> float | None:
        """Dollars, where the model's price is known and what it took."""
        return self.price.of(tokens.read, tokens.written) if self.price and tokens.known else None

    def found(self, name: str, stage: Stage, parents: Sequence[Dataset]) -> Dataset | None:
        """The version that is there already, if it need not be made again."""
        found = self.workspace.find(name, stage, parents)
        return None if found and self.asking.retry_failed and found.manifest.failed else found

    def label(self) -> str:
        """The model in a row: its name, or the workspace's name for it, or its digest; no path."""
        name, revision = self.model.model, self.model.revision
        if "digest" not in self.identity:
            return f"{name}@{revision}" if revision else name
        checkpoint = self.workspace.checkpoint_at(name)
        return checkpoint.ref if checkpoint else f"sha256:{self.identity['digest'][:16]}"

    def parents(self, rows: Dataset) -> list[Dataset]:
        """The rows' dataset, and the model where it is a checkpoint of this workspace."""
        checkpoint = self.workspace.checkpoint_at(self.model.model)
        return [rows, checkpoint] if checkpoint else [rows]

    def answers(
        self,
        parent: Dataset,
        messages: Messages,
        reads: Sequence[str],
        check: Check | None = None,
    ) -> Iterator[tuple[pa.RecordBatch, list[list[Answer]], Tokens]]:
        """Batches of the parent's rows in order, with each row's answers and what they took.

        A row has k answers, or more with `until_correct`. `reads` are the columns that `messages`
        needs, so no others are read while asking. `check` tells of an answer that has arrived why it
        is none; with `retry_failed` those are asked for again.

        Everything is asked before the first batch comes; meanwhile 22 bytes a row are kept.
        """
        reads = self.asking.prompt.reads(reads, parent.schema.names)
        run = _Run(self, parent, _or_why_not(messages), reads, check)
        try:
            if self.asking.probe is not None:
                raise Planned(run.plan(self.asking.probe))
            run.ask(run.missing())
            while self.asking.until_correct and run.want_more():
                run.ask(run.missing_again())
        finally:
            run.close()
        for start, batch in batches(run.groups):
            yield batch, *run.answers.of(start, batch.num_rows)
        self.facts["prompt_opens"] = self._opened(run.answers)

    def _opened(self, answers: Answers) -> str | None:
        """What the prompt opens a thought with: by the template where it was rendered here, else by
        the answers that a server gave."""
        if self.model.kind != "local":
            return OPEN if 2 * answers.inside > answers.whole else None
        from vlt.engine.loading import opens_thought

        return opens_thought(self.model.model, self.model.revision) or None


def _or_why_not(messages: Messages) -> Messages:
    """`messages`, with the reason where a prompt of one's own raises at a row."""

    def of(row: dict[str, Any]) -> Sequence[Message] | str:
        try:
            return messages(row)
        except CannotAsk as error:
            return str(error)

    return of


class _Run:
    """One pass over the rows: which samples are missing, and what became of them."""

    def __init__(
        self,
        ask: Ask,
        parent: Dataset,
        messages: Messages,
        reads: Sequence[str],
        check: Check | None,
    ):
        self.of, self.parent, self.messages, self.reads = ask, parent, messages, reads
        self.engine: Engine | None = None
        self.k, self.sampling = ask.asking.k, ask.asking.sampling
        self.journal = ask.workspace.journal
        self.key_of = key_maker(ask.identity, self.sampling)
        self.groups = row_groups(parent, ask.asking.limit)
        rows = sum(group.rows for group in self.groups)
        self.keys = bytearray(KEY_BYTES * rows)
        """Of each row, in the rows' order."""
        self.wanted, self.drawn, self.correct = array("H", [self.k]) * rows, array("H"), array("H")
        """Of each row: samples wanted; and with `until_correct`, those graded, and the right among them."""
        self.answers = Answers(self.journal, self.keys, self.wanted, check)
        self.failures = self.answers.failures
        self.again = ask.asking.retry_failed and check is not None
        """Ask again for answers that are there and are none for this stage."""
        self.asked_again: set[bytes] = set()
        self.open: dict[bytes, int] = {}
        """Samples in flight of each request: two rows with the same request share its answers."""
        self.tally = Tally(self.k * rows, price=ask.price)

    def ask(self, requests: Iterator[Request]) -> None:
        """Ask, and record what comes; the engine is opened for the first request."""
        first = next(requests, None)
        if first is None:
            return
        self.engine = self.engine or self.of.model.open(self.of.workspace, self.of.asking)
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
            yield from self.requests(keys, asked, [range(self.k)] * len(keys))

    def keyed(self, batch: pa.RecordBatch) -> tuple[list[bytes], list[Sequence[Message] | str]]:
        """Of each row: the key of its request, and what it asks or why it cannot be asked."""
        asked = [self.messages(row) for row in batch.to_pylist()]
        return [_no_key(m) if isinstance(m, str) else self.key_of(m) for m in asked], asked

    def lacks(self, group: Group) -> bool:
        """Whether a wanted sample of a group's rows is not in the journal."""
        for _, batch in batches([group], self.reads):
            keys, asked = self.keyed(batch)
            there = self.answers.there(keys, good=self.again)
            for key, content in zip(keys, asked, strict=True):
                have = there.get(key, set())
                if not isinstance(content, str) and any(s not in have for s in range(self.k)):
                    return True
        return False

    def requests(
        self, keys: list[bytes], asked: list[Sequence[Message] | str], wanted: list[range]
    ) -> Iterator[Request]:
        """Requests for those of the wanted samples that are not there."""
        there = self.answers.there(keys, good=self.again)
        for key, content, samples in zip(keys, asked, wanted, strict=True):
            if isinstance(content, str):
                self.fail(key, samples, content)
                continue
            have = there.setdefault(key, set())
            missing = tuple(s for s in samples if s not in have)
            self.tally.had += len(samples) - len(missing)
            have.update(missing)  # a second row of this batch may ask the same
            if key in self.asked_again:
                continue  # and what it got is no answer again
            if missing and key not in self.open and (key, missing[0]) not in self.failures:
                self.open[key] = len(missing)
                if self.again:
                    self.asked_again.add(key)
                yield Request(key, content, missing, self.sampling)

    def want_more(self) -> bool:
        """Grade what is new, and want k more samples of the rows that lack right ones."""
        more, until = False, self.of.asking
        self.drawn = self.drawn or array("H", [0]) * len(self.wanted)
        self.correct = self.correct or array("H", [0]) * len(self.wanted)
        for start, batch in batches(self.groups):
            new = [
                i for i in range(batch.num_rows) if self.drawn[start + i] < self.wanted[start + i]
            ]
            answers, _ = self.answers.of(start, batch.num_rows)
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
                if self.correct[row] < (until.until_correct or 0) and not failed:
                    self.wanted[row] = min(self.wanted[row] + self.k, until.max_samples or 0)
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
            keys = self.answers.keys_of(start, len(batch))
            asked = [self.messages(row) for row in rows]
            yield from self.requests([keys[i] for i in more], asked, [ranges[i] for i in more])

    def record(self, result: Completion | Failure) -> None:
        if isinstance(result, Completion):
            self.journal.put(result, again=self.again)
            if result.key not in self.open:
                return  # of a batch that another run had sent off
            self.tally.count(result, last=self.settle(result.key, 1))
        else:
            self.fail(result.key, result.samples, result.reason)
            self.settle(result.key, len(result.samples))
        if self.tally.due():
            tally = self.tally
            report_progress(tally.done, tally.total, "samples", tally.speed or 0)
            if self.of.workspace.progress:
                self.of.workspace.progress(tally.line())

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


def _no_key(reason: str) -> bytes:
    """In place of a request's key, for rows that cannot be asked for this reason."""
    return hashlib.blake2b(reason.encode(), digest_size=KEY_BYTES).digest()
