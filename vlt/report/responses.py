"""Statistics of a version's responses, counted batch by batch: memory does not grow with the rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from vlt.filters.rules.reflection import KEYWORDS, count_keywords
from vlt.filters.stats import bin_edges
from vlt.filters.text import Ints, count_words, reasoning
from vlt.workspace.store import Dataset

READ = ("response", "reasoning", "finish_reason", "completion_tokens")
BATCH = 1_000
BINS = 24


@dataclass
class Responses:
    """Statistics of the kept rows."""

    words: Ints
    """[rows] words of reasoning."""
    truncated: int = 0
    """Responses cut off at the token limit."""
    reflecting: int = 0
    """Responses with at least one of the keywords."""
    keywords: Counter[str] = field(default_factory=Counter)
    """How often each keyword occurs in all responses."""
    tokens: int = 0

    @property
    def row(self) -> dict[str, Any]:
        """For a table; values are None without rows."""
        n = len(self.words)
        low, median, high = np.quantile(self.words, [0.05, 0.5, 0.95]) if n else (None,) * 3
        return {
            "rows": n,
            "mean": float(self.words.mean()) if n else None,
            "p5": low,
            "median": median,
            "p95": high,
            "tokens": self.tokens / n if n else None,
            "truncated": self.truncated / n if n else None,
            "reflecting": self.reflecting / n if n else None,
            "keywords": [self.keywords[word] for word in KEYWORDS],
        }


def responses(samples: Dataset) -> Responses:
    """Lengths, truncation and reflection words (paper, section 4.2) of a version of samples."""
    found, words = Responses(np.zeros(0, np.int64)), []
    for batch in samples.batches(READ, size=BATCH):
        words.append(count_words(reasoning(batch)))
        found.truncated += pc.sum(pc.equal(batch.column("finish_reason"), "length")).as_py() or 0
        found.tokens += pc.sum(batch.column("completion_tokens")).as_py() or 0
        keywords, some = count_keywords(batch.column("response"))
        found.keywords.update(keywords)
        found.reflecting += int(some.sum())
    found.words = np.concatenate([found.words, *words])
    return found


def bins(lengths: list[Ints]) -> tuple[list[int], list[list[float]]]:
    """Edges of equal bins shared by all, up to the highest 99th percentile, and the rows' shares.

    Longer ones count in the last bin.
    """
    most = max([0, *(int(np.quantile(words, 0.99)) for words in lengths if len(words))])
    edges = bin_edges(most, BINS)
    shares = []
    for words in lengths:
        counts, _ = np.histogram(np.minimum(words, most), edges)
        shares.append([float(count) / max(1, len(words)) for count in counts])
    return [int(edge) for edge in edges], shares
