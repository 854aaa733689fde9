"""The results of a stage's requests: answers for each row, and their tokens, counted once."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vlt.errors import UserError
from vlt.request import Completion
from vlt.thinking import CLOSE, OPEN, starts_inside, with_opening_tag
from vlt.workspace.journal import Journal
from vlt.workspace.writer import Writer

Answer = Completion | str
"""An answer, or the reason why there is none."""
Check = Callable[[Completion], str | None]
"""Why an answer cannot be used by this stage; None if it can."""
KEY_BYTES = 16


@dataclass
class Tokens:
    """Tokens of answers; rows with the same prompt share their request, which counts once."""

    read: int = 0
    """Prompt tokens, counted once for each time the prompt was sent."""
    written: int = 0
    known: bool = True
    """False if a server did not report them for all answers."""

    def __iadd__(self, other: Tokens) -> Tokens:
        self.read += other.read
        self.written += other.written
        self.known = self.known and other.known
        return self


def tokens_of(completions: Sequence[Completion]) -> Tokens:
    """The tokens of one request's samples."""
    new = sum(c.prompt_tokens * c.prompts for c in completions if c.prompts is not None)
    # Older journals do not record which samples came in one reply: they count as one.
    old = next((c.prompt_tokens for c in completions if c.prompts is None), 0)
    known = all(c.completion_tokens or not c.response for c in completions)
    return Tokens(new + old, sum(c.completion_tokens for c in completions), known)


class Answers:
    """The journal's answers for the rows of one stage."""

    def __init__(
        self,
        journal: Journal,
        keys: bytearray,
        wanted: array[int],
        check: Check | None,
        prompts: int = 1,
    ):
        """`keys` are the keys of each row's `prompts` requests, `wanted` the number of samples it wants;
        both are filled elsewhere."""
        self.journal, self.keys, self.wanted, self.check = journal, keys, wanted, check
        self.prompts = prompts
        self.failures: dict[tuple[bytes, int], str] = {}
        """(key, sample) -> why there is no answer."""
        self._starts_inside: bool | None = None
        self.whole = self.inside = 0
        """Finished answers returned so far: all, and those that close a thought but do not open one."""
        self._first: np.ndarray | None = None

    def keys_of(self, start: int, rows: int) -> list[bytes]:
        """The keys of some rows' requests."""
        size = KEY_BYTES * self.prompts
        places = range(start * size, (start + rows) * size, KEY_BYTES)
        return [bytes(self.keys[place : place + KEY_BYTES]) for place in places]

    def present(self, keys: list[bytes], *, good: bool) -> dict[bytes, set[int]]:
        """Which samples are in the journal; with `good`, only those that the stage can use."""
        found = self.journal.samples(keys)
        if good and self.check:
            for completion in self.journal.read(list(found)):
                if self.check(completion):
                    found[completion.key].discard(completion.sample)
        return found

    def of(self, start: int, rows: int) -> tuple[list[list[Answer]], Tokens]:
        """(the answers of each row's wanted samples, the tokens of the requests that occur here first)."""
        keys = self.keys_of(start, rows)
        by_key: dict[bytes, dict[int, Completion]] = {}
        for completion in self.journal.read(list(set(keys))):
            by_key.setdefault(completion.key, {})[completion.sample] = completion
        answers: list[list[Answer]] = []
        spent = Tokens()
        for place in range(rows):
            parts = self.by_prompt(range(self.wanted[start + place]))
            of_row: list[Answer] = []
            for prompt, wanted in enumerate(parts, place * self.prompts):
                key = keys[prompt]
                found = by_key.get(key, {})
                of_row += [self._answer(key, sample, found) for sample in wanted]
                if self._is_first(start * self.prompts + prompt):
                    spent += tokens_of([found[sample] for sample in wanted if sample in found])
            answers.append(of_row)
        return answers, spent

    def by_prompt(self, samples: range) -> list[range]:
        """The wanted samples of a row, split by its prompts."""
        if self.prompts == 1:
            return [samples]
        return [range(sample, sample + (sample in samples)) for sample in range(self.prompts)]

    def _answer(self, key: bytes, sample: int, found: dict[int, Completion]) -> Answer:
        completion = found.get(sample)
        if completion is None:
            return self.failures[key, sample]
        text = completion.response
        inside = starts_inside(text)
        if completion.finish_reason != "length":
            self.whole, self.inside = self.whole + 1, self.inside + inside
        if inside or self._cut(completion):
            completion = replace(completion, response=with_opening_tag(text, opened=True))
        return (self.check(completion) if self.check else None) or completion

    def _cut(self, completion: Completion) -> bool:
        """Whether it was cut inside a thought that its prompt had opened.

        This is inferred from the stage's other answers: most finished ones close a thought that they did
        not open.
        """
        text = completion.response
        if completion.finish_reason != "length" or OPEN in text or CLOSE in text:
            return False
        if self._starts_inside is None:
            whole = inside = 0
            step = 10_000
            for start in range(0, len(self.wanted), step):
                keys = set(self.keys_of(start, min(step, len(self.wanted) - start)))
                counts = self.journal.thoughts(list(keys))
                whole, inside = whole + counts[0], inside + counts[1]
            self._starts_inside = 2 * inside > whole
        return self._starts_inside

    def _is_first(self, place: int) -> bool:
        """Whether this is the first request with this key for these samples."""
        if self._first is None:
            keys = np.frombuffer(bytes(self.keys), np.uint8).reshape(-1, KEY_BYTES)
            number = np.arange(len(keys)) % self.prompts
            both = np.column_stack([keys, number.astype("<u2").view(np.uint8).reshape(-1, 2)])
            whole = np.ascontiguousarray(both).view(np.dtype((np.void, both.shape[1])))[:, 0]
            self._first = np.zeros(len(keys), bool)
            self._first[np.unique(whole, return_index=True)[1]] = True
        return bool(self._first[place])


@dataclass
class Failures:
    """The failed rows of a stage: an example of each reason, in the server's own words."""

    examples: dict[str, str] = field(default_factory=dict)

    def add(self, writer: Writer, reasons: Sequence[str]) -> None:
        """Count rows that have been written as failed with these reasons."""
        for reason in reasons:
            self.examples.setdefault(reason.split(":", 1)[0].split(" (", 1)[0][:200], reason)
        writer.facts["failure_examples"] = self.examples

    def check(self, writer: Writer) -> None:
        """Raises UserError if no row was answered: the version would be empty."""
        failed = sum(writer.ledger.failed.values())
        if writer.ledger.kept or not failed:
            return
        reasons = "; ".join(list(self.examples.values())[:3])
        raise UserError(
            f"none of {failed:,} rows was answered ({reasons}), so no version of {writer.name!r} was "
            "made; fix the cause and run the command again, with --retry-failed to also replace unusable "
            "answers"
        )
