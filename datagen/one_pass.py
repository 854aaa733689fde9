"""One pass over a stage's rows: requests the samples that the journal lacks, and records the results."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vlt.datagen.adaptive import correct_counts
from vlt.datagen.answers import KEY_BYTES, Answers, Check
from vlt.datagen.estimate import Plan
from vlt.datagen.scan import Group, batches, row_groups, unanswered_first
from vlt.datagen.tally import Tally
from vlt.engine import Engine
from vlt.request import Completion, Failure, Message, Request, key_maker
from vlt.workspace.progress import current_progress, replicas_words, report_progress

if TYPE_CHECKING:
    from vlt.datagen.generate import Ask
    from vlt.workspace.store import Dataset

Messages = Callable[[dict[str, Any]], Sequence[Message] | str]
"""A row's messages, or the reason why it cannot be asked."""


class OnePass:
    """Which samples are missing, and their results."""

    def __init__(
        self,
        ask: Ask,
        parent: Dataset,
        messages: Messages,
        reads: Sequence[str],
        check: Check | None,
    ):
        self.of, self.messages, self.reads = ask, messages, reads
        asking = ask.asking
        self.engine: Engine | None = None
        self.k, self.sampling = asking.k, asking.sampling
        self.prompts = asking.prompts_a_row
        """Number of prompts of one row: one for all its samples, or one for each."""
        self.journal = ask.workspace.journal
        self.key_of = key_maker(ask.identity, self.sampling)
        self.groups = row_groups(parent, asking.limit)
        rows = sum(group.rows for group in self.groups)
        self.keys = bytearray(KEY_BYTES * rows * self.prompts)
        """The key of each prompt, in the rows' order."""
        self.wanted, self.drawn, self.correct = array("H", [self.k]) * rows, array("H"), array("H")
        """For each row: samples wanted; with `until_correct`, also samples graded, and correct ones."""
        self.answers = Answers(self.journal, self.keys, self.wanted, check, self.prompts)
        self.failures = self.answers.failures
        self.again = asking.retry_failed and check is not None
        """Request again what the journal has but the stage cannot use."""
        self.asked_again: set[bytes] = set()
        self.open: dict[bytes, set[int]] = {}
        """Samples in flight for each request: two rows with the same request share its answers."""
        self.tally = Tally(self.k * rows, price=ask.price)

    def ask(self, requests: Iterator[Request]) -> None:
        """Send the requests, and record the results; the engine is opened at the first request."""
        first = next(requests, None)
        if first is None:
            return
        self.engine = self.engine or self.of.model.open(self.of.workspace, self.of.asking)
        for result in self.engine.complete(chain([first], requests)):
            self.record(result)

    def close(self) -> None:
        """Close the engine, if one was opened."""
        if self.engine:
            self.engine.close()
            self.engine = None

    def plan(self, probe: int) -> Plan:
        """Send `probe` requests, and count the others."""
        missing = self.missing()
        self.ask(islice(missing, probe))
        seconds = self.tally.seconds
        samples = [len(request.samples) for request in missing]
        return Plan(len(samples), sum(samples), seconds, self.tally)

    def missing(self) -> Iterator[Request]:
        """Requests for what is neither in the journal nor in flight, row by row."""
        for start, batch in batches(unanswered_first(self.groups, self.lacks), self.reads):
            keys, asked = self.keyed(batch)
            at = start * self.prompts
            self.keys[at * KEY_BYTES : (at + len(keys)) * KEY_BYTES] = b"".join(keys)
            yield from self.requests(keys, asked, self.by_prompt([range(self.k)] * len(batch)))

    def keyed(self, batch: pa.RecordBatch) -> tuple[list[bytes], list[Sequence[Message] | str]]:
        """For each prompt of the rows: the key of the request, and its messages or why it cannot be asked."""
        asked = [self.messages(row) for row in self.prompted(batch.to_pylist())]
        return [_no_key(m) if isinstance(m, str) else self.key_of(m) for m in asked], asked

    def prompted(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each row once for each of its prompts, with the number of its sample."""
        if self.prompts == 1:
            return rows
        return [{**row, "sample": sample} for row in rows for sample in range(self.prompts)]

    def by_prompt(self, wanted: Sequence[range]) -> list[range]:
        """The wanted samples of rows, split by their prompts."""
        return [part for of_row in wanted for part in self.answers.by_prompt(of_row)]

    def lacks(self, group: Group) -> bool:
        """Whether a wanted sample of a group's rows is not in the journal."""
        for _, batch in batches([group], self.reads):
            keys, asked = self.keyed(batch)
            present = self.answers.present(keys, good=self.again)
            wanted = self.by_prompt([range(self.k)] * len(batch))
            for key, content, samples in zip(keys, asked, wanted, strict=True):
                have = present.get(key, set())
                if not isinstance(content, str) and any(s not in have for s in samples):
                    return True
        return False

    def requests(
        self,
        keys: Sequence[bytes],
        asked: Sequence[Sequence[Message] | str],
        wanted: Sequence[range],
    ) -> Iterator[Request]:
        """Requests for those of the wanted samples that are missing."""
        present = self.answers.present([*keys], good=self.again)
        for key, content, samples in zip(keys, asked, wanted, strict=True):
            if isinstance(content, str):
                self.fail(key, samples, content)
                continue
            have = present.setdefault(key, set())
            missing = [s for s in samples if s not in have]
            self.tally.journaled += len(samples) - len(missing)
            have.update(missing)  # a second row of this batch may have the same request
            if key in self.asked_again:
                continue  # its new answer is unusable too
            in_flight = self.open.get(key, set())
            missing = [s for s in missing if s not in in_flight and (key, s) not in self.failures]
            if missing:
                self.open[key] = in_flight | set(missing)
                if self.again:
                    self.asked_again.add(key)
                format = self.of.response_format
                yield Request(key, content, tuple(missing), self.sampling, format)

    def want_more(self) -> bool:
        """Grade new samples, and request k more for rows with too few correct ones; whether there are any."""
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
                {
                    sample: a.response
                    for sample, a in enumerate(answers[i])
                    if isinstance(a, Completion) and sample >= self.drawn[start + i]
                }
                for i in new
            ]
            for i, correct in zip(new, correct_counts(rows, texts, until), strict=True):
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
        """Requests for the samples wanted since the last pass."""
        for start, batch in batches(self.groups, self.reads):
            ranges = [
                range(self.drawn[row], self.wanted[row]) for row in range(start, start + len(batch))
            ]
            more = [i for i, samples in enumerate(ranges) if samples]
            rows = batch.take(pa.array(more, pa.int32()))
            keys, asked = self.keyed(rows)
            yield from self.requests(keys, asked, self.by_prompt([ranges[i] for i in more]))

    def record(self, result: Completion | Failure) -> None:
        if isinstance(result, Completion):
            self.journal.put(result, again=self.again)
            if result.key not in self.open:
                return  # from a batch that another run had sent
            self.tally.count(result, last=self.settle(result.key, [result.sample]))
        else:
            self.fail(result.key, result.samples, result.reason)
            self.settle(result.key, result.samples)
        if self.tally.due():
            tally = self.tally
            report_progress(tally.done, tally.total, "samples", tally.speed or 0)
            if self.of.workspace.progress:
                stage = current_progress()
                replicas = stage.replicas if stage else None
                words = f"{replicas_words(replicas)}: " if replicas else ""
                self.of.workspace.progress(words + tally.line())

    def settle(self, key: bytes, samples: Sequence[int]) -> bool:
        """Remove samples from those in flight; returns whether they were the last of their request."""
        self.open[key].difference_update(samples)
        if self.open[key]:
            return False
        del self.open[key]
        return True

    def fail(self, key: bytes, samples: Sequence[int], reason: str) -> None:
        self.failures.update({(key, sample): reason for sample in samples})
        self.tally.failed += len(samples)


def _no_key(reason: str) -> bytes:
    """Replaces the request's key for rows that cannot be asked for this reason."""
    return hashlib.blake2b(reason.encode(), digest_size=KEY_BYTES).digest()
