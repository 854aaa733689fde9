"""Does the text repeat itself?

Two signs: a large share of a response's n-grams occurred in it before, or one n-gram occurs many
times. Both are counted exactly, but for few texts: n-grams are first hashed into a table with four slots
for each, where a collision can only make a text look more repetitive than it is, and only texts that
look repetitive are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from vlt.errors import UsageError
from vlt.filters.duplicates.hashing import Block, Hashes, word_blocks
from vlt.filters.protocol import Judgement, everything
from vlt.workspace.reason import Reason

PLACES = 4


@dataclass(frozen=True)
class Repetition:
    """Drops responses that repeat themselves; one of fewer than two n-grams cannot."""

    name: ClassVar[str] = "repetition"
    columns: ClassVar[tuple[str, ...]] = ("response",)

    share: float = 0.3
    """Maximum share of n-grams that occurred in the response before."""
    ngram: int = 8
    """Words in an n-gram."""
    times: int = 6
    """An n-gram that occurs this often is a loop."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or self.ngram < 1 or self.times < 2:
            raise UsageError(
                f"repetition: share {self.share}, ngram {self.ngram}, times {self.times} is out of "
                "range; give a share from 0 to 1, an ngram of at least 1 and times of at least 2"
            )

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """The reason says which of the two signs was found, and how strong it is."""
        keep, reasons = everything(rows), []
        for block in word_blocks(rows.column("response")):
            for row, reason in self._repetitive(block):
                keep[row] = False
                reasons.append(reason)
        return Judgement(keep, reasons)

    def _repetitive(self, block: Block) -> list[tuple[int, Reason]]:
        grams, offsets = block.grams(self.ngram)
        counts = np.diff(offsets)
        start = offsets[:-1] * PLACES
        size = np.repeat(counts * PLACES, counts).astype(np.uint64)
        place = np.repeat(start, counts) + (grams % np.maximum(size, 1)).astype(np.int64)
        filled = np.bincount(place, minlength=int(offsets[-1]) * PLACES)
        some = np.flatnonzero(counts)
        distinct = np.add.reduceat(filled > 0, start[some], dtype=np.int64)
        most = np.maximum.reduceat(filled, start[some])
        suspect = ((counts[some] - distinct) > self.share * counts[some]) | (most >= self.times)
        found = []
        for row in some[suspect].tolist():
            if reason := self._reason(grams[offsets[row] : offsets[row + 1]]):
                found.append((block.start + row, reason))
        return found

    def _reason(self, grams: Hashes) -> Reason | None:
        _, times = np.unique(grams, return_counts=True)
        if times.max() >= self.times:
            return Reason("looped", f"the same {self.ngram} words {times.max()} times")
        share = 1 - len(times) / len(grams)
        if share <= self.share:
            return None
        return Reason("repetitive", f"{share:.0%} of it stood before")
