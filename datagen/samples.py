"""What reasoning and rollouts share: k responses to each row, one row of the new version each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.datagen.answers import Answer, Failures, Tokens
from vlt.datagen.generate import Ask, Messages
from vlt.grade.extract import extract, split_reasoning
from vlt.request import Completion
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset
from vlt.workspace.writer import Writer


def make_samples(
    stage: Stage,
    parent: Dataset,
    ask: Ask,
    messages: Messages,
    reads: Sequence[str],
    *,
    name: str,
    round: int | None,
) -> tuple[Dataset, bool]:
    """The parent's rows, once for each answer with `sample` 0, 1, ...; those without one are failed.

    Returns the version and whether it was there already.
    """
    parents = ask.parents(parent)
    if found := ask.found(name, stage, parents):
        return found, True
    label, spent, failures, cut = ask.label(), Tokens(), Failures(), 0
    with Writer(ask.workspace, stage, name, "sample", parents, round=round) as writer:
        for rows, answers, tokens in ask.answers(parent, messages, reads):
            every = _repeat(rows, [len(of_row) for of_row in answers])
            writer.expect(every)
            flat = [answer for of_row in answers for answer in of_row]
            answered = pa.array([isinstance(a, Completion) for a in flat], pa.bool_())
            writer.keep(_with_answers(every.filter(answered), flat, label))
            reasons = [a for a in flat if isinstance(a, str)]
            writer.fail(every.filter(pc.invert(answered)), reasons)
            failures.add(writer, reasons)
            cut += sum(isinstance(a, Completion) and a.finish_reason == "length" for a in flat)
            spent += tokens
        failures.check(writer)
        writer.facts |= {**ask.facts, "cut": cut}
        writer.count_tokens(spent.read, spent.written, ask.cost(spent))
    return writer.dataset, False


def _repeat(rows: pa.RecordBatch, times: list[int]) -> pa.RecordBatch:
    """Each row so many times, with the column `sample`."""
    places = pa.array(np.repeat(np.arange(rows.num_rows), times))
    samples = pa.array(np.concatenate([np.arange(n, dtype=np.int32) for n in [0, *times]]))
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
