"""Summary of verdicts: accuracy overall, by source, by a benchmark's breakdowns and groups."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vlt import response_format
from vlt.datagen.benchmarks import Benchmark
from vlt.evaluation.interval import Score, wilson
from vlt.grade import split_reasoning
from vlt.thinking import with_opening_tag

READS = "id source meta response predicted finish_reason completion_tokens verdict sample".split()
"""Columns of a sample that a summary needs."""

Row = Mapping[str, Any]
Items = dict[str, list[Row]]
"""Item id -> its samples."""


def summary(rows: Sequence[Row], benchmark: Benchmark | None = None) -> dict[str, Any]:
    """Accuracy (strict and lenient), per source, and properties of the responses.

    Lenient counts the grader's verdict; strict also requires <think>...</think> <answer>, the format
    that the loop trains. With k samples per item, n counts items, and the interval is that of the items'
    mean pass rate. `truncated`: cut at the token limit; `unanswered`: without any answer;
    `not_extracted`: without one, or with only unmarked prose.
    """
    items: Items = {}
    for row in rows:
        items.setdefault(row["id"], []).append(row)
    found = {
        "accuracy": asdict(_accuracy(items, _right)),
        "strict": asdict(_accuracy(items, lambda row: _right(row) and in_format(row["response"]))),
        "sources": _by(items, lambda row: [row["source"]]),
        "samples": len(rows),
        "unjudged": sum(row["verdict"] == "unjudged" for row in rows),
        "failed": sum(row["verdict"] is None for row in rows),
        "truncated": _share(rows, lambda row: row["finish_reason"] == "length"),
        "unanswered": _share(rows, lambda row: row["predicted"] is None),
        "not_extracted": _share(rows, _not_extracted),
        "in_format": _share(rows, lambda row: in_format(row["response"])),
        "tokens": sum(row["completion_tokens"] or 0 for row in rows) / max(1, len(rows)),
    }
    return {**found, **_of_benchmark(items, benchmark)} if benchmark else found


def in_format(response: str | None) -> bool:
    """Whether the response has a closed thought, and an <answer> after it."""
    return response is not None and response_format.in_format(
        with_opening_tag(response), prose=True
    )


def _of_benchmark(items: Items, benchmark: Benchmark) -> dict[str, Any]:
    """Breakdowns, groups and the published numbers."""
    metas = {id: _meta(rows[0]) for id, rows in items.items()}
    fields = {
        label: _by(items, lambda row, path=path: _values(metas[row["id"]], path))  # type: ignore[misc]
        for label, path in benchmark.fields.items()
    }
    together = {
        label: asdict(_all_right(items, metas, names))
        for label, names in benchmark.together.items()
    }
    return {
        "benchmark": benchmark.name,
        "fields": {label: scores for label, scores in fields.items() if scores},
        "together": together,
        "published": [asdict(published) for published in benchmark.published],
    }


def _meta(row: Row) -> Mapping[str, Any]:
    found = json.loads(row["meta"] or "{}")
    return found if isinstance(found, dict) else {}


def _values(meta: Mapping[str, Any], path: str) -> list[str]:
    """The value at the path, as texts; a list counts for each of its values."""
    value: Any = meta
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None or value == "":
        return []
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _by(items: Items, labels: Callable[[Row], list[str]]) -> dict[str, Any]:
    """Accuracy of the items under each label, the labels in order."""
    parts: dict[str, Items] = {}
    for id, rows in items.items():
        for label in labels(rows[0]):
            parts.setdefault(label, {})[id] = rows
    return {label: asdict(_accuracy(parts[label], _right)) for label in sorted(parts)}


def _all_right(items: Items, metas: Mapping[str, Row], names: Sequence[str]) -> Score:
    """Share of the groups whose items are all correct; with k samples, the mean over samples."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for id in items:
        groups.setdefault(tuple(str(metas[id].get(name)) for name in names), []).append(id)
    rates = []
    for ids in groups.values():
        draws = zip(*(items[id] for id in ids), strict=False)
        whole = [all(map(_right, draw)) for draw in draws]
        rates.append(sum(whole) / len(whole))
    return wilson(sum(rates), len(rates))


def _not_extracted(row: Row) -> bool:
    """Whether there is no separate final answer: nothing after the thought, or only unmarked prose.

    `extract` falls back to the whole text after the thought, which is an answer if it is short.
    """
    predicted, response = row["predicted"], row["response"]
    if predicted is None or response is None:
        return True
    _, rest = split_reasoning(response)
    return len(predicted.split()) > 20 and predicted.strip() == rest.strip()


def _share(rows: Sequence[Row], is_so: Callable[[Row], bool]) -> float:
    return sum(map(is_so, rows)) / max(1, len(rows))


def _right(row: Row) -> bool:
    return bool(row["verdict"] == "correct")


def _accuracy(items: Items, right: Callable[[Row], bool]) -> Score:
    rates = [sum(map(right, rows)) / len(rows) for rows in items.values()]
    return wilson(sum(rates), len(rates))
