"""Statistics of a dataset in one pass: lengths (paper, Figure 10), pass@k (Figure 11), verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import comb
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.filters.duplicates.exact import hashed, joined
from vlt.filters.pass_rate import of_batches, with_dropped
from vlt.filters.rules.reflection import KEYWORDS, count_keywords
from vlt.filters.signs import signs
from vlt.filters.text import Ints, count_words, reasoning
from vlt.process_pool import shared_out
from vlt.workspace.pieces import PIECE, RowsPiece, pieces
from vlt.workspace.store import Dataset

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 20
PASS_AT = (1, 2, 4, 8, 16, 32)
COUNTED = {"answer_types": "answer_type", "verdicts": "verdict", "finish_reasons": "finish_reason"}
READ = (
    "id source question choices answer_type images response reasoning finish_reason "
    "prompt_tokens completion_tokens verdict"
).split()


@dataclass
class _Counts:
    """Running sums over the batches."""

    sources: Counter[str] = field(default_factory=Counter)
    values: dict[str, Counter[str]] = field(default_factory=dict)
    words: list[Ints] = field(default_factory=list)
    ids: list[pa.Array] = field(default_factory=list)
    keys: list[pa.Array] = field(default_factory=list)
    images: set[str] = field(default_factory=set)
    tokens: Counter[str] = field(default_factory=Counter)
    reflections: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(KEYWORDS, 0)))
    reflecting: int = 0

    def add(self, rows: pa.RecordBatch) -> None:
        """Count a batch; columns that its kind does not have are skipped."""
        names = rows.schema.names
        self.sources.update(_tally(rows.column("source")))
        for title, column in COUNTED.items():
            if column in names:
                self.values.setdefault(title, Counter()).update(_tally(rows.column(column)))
        self.ids.append(rows.column("id"))
        self.keys.append(hashed(joined(rows, ("question", "choices", "images")))[0])
        self.images.update(rows.column("images").flatten().to_pylist())
        if "response" not in names:
            return
        self.words.append(count_words(reasoning(rows)))
        for column in ("prompt_tokens", "completion_tokens"):
            self.tokens[column] += pc.sum(rows.column(column)).as_py() or 0
        keywords, some = count_keywords(rows.column("response"))
        self.reflections.update(keywords)
        self.reflecting += int(some.sum())

    def join(self, later: _Counts) -> None:
        """Add the counts of the rows that come next."""
        for title, values in later.values.items():
            self.values.setdefault(title, Counter()).update(values)
        for mine, theirs in (
            (self.sources, later.sources),
            (self.tokens, later.tokens),
            (self.reflections, later.reflections),
        ):
            mine.update(theirs)
        self.words += later.words
        self.ids += later.ids
        self.keys += later.keys
        self.images |= later.images
        self.reflecting += later.reflecting


@dataclass(frozen=True)
class _Part:
    """The job of a pool: counts of a piece's rows, or one of MEASURES."""

    dataset: Dataset
    columns: list[str]

    def __call__(self, part: RowsPiece | str) -> Any:
        if isinstance(part, str):
            return MEASURES[part](self.dataset)
        counts = _Counts()
        counts.add(part.read(self.columns))
        return counts


def dataset_stats(dataset: Dataset) -> dict[str, Any]:
    """A JSON object; what the kind of rows does not have is left out.

    Pass rates count dropped rows too, if they had been graded.
    """
    counts, measured = _Counts(), []
    names = [name for name in READ if name in dataset.schema.names]
    parts: list[RowsPiece | str] = [*pieces(dataset, PIECE), *MEASURES]
    for part in shared_out(_Part(dataset, names), parts, len(parts), dataset.root):
        if isinstance(part, _Counts):
            counts.join(part)
        else:
            measured.append(part)
    passed, signs_of_trust = measured
    rows = dataset.manifest.rows
    ids = pa.chunked_array(counts.ids, pa.string())
    found: dict[str, Any] = {
        "dataset": dataset.ref,
        "kind": dataset.kind,
        "rows": rows,
        "items": pc.count_distinct(ids).as_py(),
        "images": len(counts.images),
        "duplicate_items": _duplicates(ids, counts.keys),
        **{title: dict(values.most_common()) for title, values in counts.values.items()},
    }
    sources: list[dict[str, Any]] = [
        {"source": s, "rows": n} for s, n in sorted(counts.sources.items())
    ]
    if dataset.kind == "sample":
        found["tokens"] = {
            "prompt": counts.tokens["prompt_tokens"],
            "completion": counts.tokens["completion_tokens"],
        }
        found["reasoning_words"] = distribution(
            np.concatenate([np.zeros(0, np.int64), *counts.words])
        )
        found["reflections"] = {
            "share_of_responses": round(counts.reflecting / rows, 4) if rows else None,
            **counts.reflections,
        }
        sources = [{**row, **passed.get(row["source"], {})} for row in sources]
    return {**found, **signs_of_trust, "by_source": sources}


def bin_edges(longest: int, bins: int) -> Ints:
    """Edges of at most `bins` bins of one integer width that cover 0 to `longest`."""
    width = longest // bins + 1
    return np.arange(0, longest + 1 + width, width)


def distribution(values: Ints) -> dict[str, Any]:
    """Mean, quantiles and a histogram of equal bins up to the 99th percentile; the last holds the rest."""
    if not len(values):
        return {"mean": None, "histogram": []}
    most = int(np.quantile(values, 0.99))
    edges = bin_edges(most, BINS)
    rows, _ = np.histogram(np.minimum(values, most), edges)
    quantiles = {f"p{q * 100:.0f}": float(np.quantile(values, q)) for q in QUANTILES}
    return {
        "mean": round(float(values.mean()), 2),
        **quantiles,
        "max": int(values.max()),
        "histogram": [
            {"from": int(low), "rows": int(n)} for low, n in zip(edges[:-1], rows, strict=True)
        ],
    }


def pass_at_by_source(dataset: Dataset) -> dict[str, dict[str, float]]:
    """source -> {"pass@1": ..., "pass@4": ...}, over its items; empty if nothing was graded.

    The unbiased estimator (Chen et al. 2021): 1 - C(n - c, k) / C(n, k). Items with fewer than k samples
    do not count for pass@k.
    """
    if dataset.kind != "sample":
        return {}
    source: dict[str, str] = {}
    graded = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal graded
        for batch in with_dropped(dataset, ["id", "source", "verdict", "finish_reason"]):
            graded += batch.num_rows - batch.column("verdict").null_count
            ids, names = batch.column("id").to_pylist(), batch.column("source").to_pylist()
            source.update(zip(ids, names, strict=True))
            yield batch

    per_item = of_batches(batches()).to_pylist()
    if not graded:  # a cut response counts as not solved, but cut responses alone give no rate
        return {}
    sums: dict[str, dict[int, list[float]]] = {}
    for row in per_item:
        by_k = sums.setdefault(source[row["id"]] or "", {})
        for k in PASS_AT:
            if row["n"] >= k:
                missed = comb(row["n"] - row["correct"], k) / comb(row["n"], k)
                by_k.setdefault(k, []).append(1 - missed)
    return {
        name: {f"pass@{k}": round(float(np.mean(passed)), 4) for k, passed in by_k.items()}
        for name, by_k in sums.items()
    }


MEASURES: dict[str, Callable[[Dataset], dict[str, Any]]] = {
    "pass@k": pass_at_by_source,
    "signs": signs,
}
"""What takes passes of its own over all rows."""


def _duplicates(ids: pa.ChunkedArray, keys: list[pa.Array]) -> int:
    """Items after the first with the same question, choices and images."""
    if not len(ids):
        return 0
    clusters = pa.table({"id": ids, "key": pa.chunked_array(keys)}).group_by("key")
    sizes = clusters.aggregate([("id", "count_distinct")])["id_count_distinct"]
    return int(pc.sum(sizes).as_py()) - len(sizes)


def _tally(column: pa.Array) -> dict[str, int]:
    pairs = pc.value_counts(column).to_pylist()
    return {
        str(pair["values"] if pair["values"] is not None else "none"): pair["counts"]
        for pair in pairs
    }
