"""What reasoning and rollouts share: k responses to each row, one row of the new version each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datagen.ask import Answer, Ask, Messages
from vlt.grade.extract import extract, split_reasoning
from vlt.request import Completion
from vlt.stage import Stage
from vlt.store import Dataset, Store
from vlt.writer import Writer


def make_samples(
    store: Store,
    stage: Stage,
    parent: Dataset,
    ask: Ask,
    messages: Messages,
    *,
    name: str,
    round: int | None,
) -> tuple[Dataset, bool]:
    """The parent's rows, k times each with `sample` 0 .. k-1; those without an answer are failed.

    Returns the version and whether it was there already.
    """
    parents = ask.parents(store, parent)
    if found := store.find(name, stage, parents):
        return found, True
    label = ask.label(store)
    with Writer(store, stage, name, "sample", parents, round=round) as writer:
        for rows, answers in ask.answers(parent, messages):
            every = _repeat(rows, ask.k)
            writer.expect(every)
            flat = [answer for of_row in answers for answer in of_row]
            answered = pa.array([isinstance(a, Completion) for a in flat], pa.bool_())
            writer.keep(_with_answers(every.filter(answered), flat, label))
            reasons = [a for a in flat if isinstance(a, str)]
            writer.fail(every.filter(pc.invert(answered)), reasons)
    return writer.dataset, False


def _repeat(rows: pa.RecordBatch, k: int) -> pa.RecordBatch:
    """Each row k times, with the column `sample`."""
    places = pa.array(np.repeat(np.arange(rows.num_rows), k))
    samples = pa.array(np.tile(np.arange(k, dtype=np.int32), rows.num_rows))
    return rows.take(places).append_column("sample", samples)


def _with_answers(rows: pa.RecordBatch, answers: list[Answer], label: str) -> pa.RecordBatch:
    got = [a for a in answers if isinstance(a, Completion)]
    columns = {
        "response": pa.array([c.response for c in got], pa.string()),
        "reasoning": pa.array([split_reasoning(c.response)[0] for c in got], pa.string()),
        "predicted": pa.array([extract(c.response) for c in got], pa.string()),
        "finish_reason": pa.array([c.finish_reason for c in got], pa.string()),
        "prompt_tokens": pa.array([c.prompt_tokens for c in got], pa.int32()),
        "completion_tokens": pa.array([c.completion_tokens for c in got], pa.int32()),
        "model": pa.array([label] * len(got), pa.string()),
    }
    for column, values in columns.items():
        rows = rows.append_column(column, values)
    return rows
