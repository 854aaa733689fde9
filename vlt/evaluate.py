"""How good a model is on a dataset of items: answers drawn, graded by the one grader, summed up.

Two versions come of it: the answers (sampled through the journal, so nothing is asked twice) and
their verdicts, which can be made again with another grader without asking any model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from datagen.rollouts import make_rollouts
from filters.verify import graded
from vlt.engine import Engine
from vlt.grade import split_reasoning
from vlt.prompts import Prompt
from vlt.request import Sampling
from vlt.stage import Stage
from vlt.store import Dataset, Store
from vlt.writer import Writer


@dataclass(frozen=True)
class Score:
    """A share of items with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def wilson(right: float, n: int) -> Score:
    """Wilson's 95 % interval of `right` out of `n` (1927); defined at 0 and at n, too."""
    if n == 0:
        return Score(0.0, 0.0, 1.0, 0)
    z, p = 1.959964, right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Score(p, max(0.0, centre - half), min(1.0, centre + half), n)


def make_evaluation(
    store: Store,
    items: Dataset,
    *,
    model: str,
    engine: Callable[[], Engine],
    prompt: Prompt,
    sampling: Sampling,
    k: int = 1,
    grader: str = "vlt",
    name: str,
    round: int | None = None,
    **ask: Any,
) -> tuple[Dataset, bool]:
    """Verdicts on `model`'s answers to `items`; the manifest's facts hold `summary` of them.

    Makes `<name>-answers` (samples) and `<name>` (the same samples with verdicts). `ask` goes to
    `make_rollouts`. Returns the version and whether it was there already.
    """
    answers, _ = make_rollouts(
        store,
        items,
        model=model,
        engine=engine,
        prompt=prompt,
        sampling=sampling,
        k=k,
        name=f"{name}-answers",
        round=round,
        **ask,
    )
    stage = Stage("eval", {"grader": grader})
    found = store.find(name, stage, [answers])
    if found:
        return found, True
    verdicts: list[dict[str, Any]] = []
    with Writer(store, stage, name, "sample", [answers], round=round) as writer:
        for batch in answers.batches():
            writer.expect(batch)
            graded_batch = with_verdicts(batch, grader)
            writer.keep(graded_batch)
            verdicts += graded_batch.select(SUMMED).to_pylist()
        # An answer that could not be had counts as not right: the held-out set stays the same.
        failed = answers.dropped()
        if failed.num_rows:
            writer.expect(failed)
            writer.fail(failed, failed.column("reason").to_pylist())
            verdicts += failed.select(SUMMED).to_pylist()
        writer.facts = summary(verdicts)
    return writer.dataset, False


SUMMED = ["id", "source", "response", "predicted", "finish_reason", "completion_tokens", "verdict"]


def with_verdicts(batch: pa.RecordBatch, grader: str = "vlt") -> pa.RecordBatch:
    """The samples with verdict, verdict_reason and predicted filled in."""
    for name, values in graded(batch, grader).items():
        batch = batch.set_column(batch.schema.get_field_index(name), name, values)
    return batch


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy (strict and lenient), per source, and what the responses look like.

    Lenient counts the grader's verdict; strict asks for <think>...</think> <answer> besides, which
    is the format that the loop trains. With k samples an item, n counts items, and the interval is
    of the items' mean pass rate.
    """
    items: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        items.setdefault(row["id"], []).append(row)
    return {
        "accuracy": asdict(_accuracy(items, _right)),
        "strict": asdict(_accuracy(items, lambda row: _right(row) and in_format(row["response"]))),
        "sources": {
            source: asdict(
                _accuracy({i: r for i, r in items.items() if r[0]["source"] == source}, _right)
            )
            for source in sorted({row["source"] for row in rows})
        },
        "samples": len(rows),
        "unjudged": sum(row["verdict"] == "unjudged" for row in rows),
        "failed": sum(row["verdict"] is None for row in rows),
        "truncated": sum(row["finish_reason"] == "length" for row in rows) / max(1, len(rows)),
        "unanswered": sum(row["predicted"] is None for row in rows) / max(1, len(rows)),
        "in_format": sum(in_format(row["response"]) for row in rows) / max(1, len(rows)),
        "tokens": sum(row["completion_tokens"] or 0 for row in rows) / max(1, len(rows)),
    }


def in_format(response: str | None) -> bool:
    """Whether the response thinks, closes the thought, and answers in <answer> after it."""
    if response is None:
        return False
    reasoning, rest = split_reasoning(response)
    return bool(reasoning) and "<answer>" in (rest or "") and "</answer>" in (rest or "")


def _right(row: dict[str, Any]) -> bool:
    return row["verdict"] == "correct"


def _accuracy(
    items: dict[str, list[dict[str, Any]]], right: Callable[[dict[str, Any]], bool]
) -> Score:
    rates = [sum(map(right, rows)) / len(rows) for rows in items.values()]
    return wilson(sum(rates), len(rates))
