"""Common part of reasoning and rollouts: k responses to each row, each a row of the new version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.choice_order import order_of
from vlt.datagen.answers import Answer, Failures, Tokens
from vlt.datagen.asking import Asking
from vlt.datagen.generate import Ask
from vlt.datagen.one_pass import Messages
from vlt.datagen.shown import Shown
from vlt.grade.agreement import COLUMNS, agreement
from vlt.grade.extract import extract, split_reasoning
from vlt.grade.shuffled import predicted_back
from vlt.request import Completion
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset
from vlt.workspace.writer import Writer

ORDERED = ("question", "choices", "answer", "images")
"""The columns that determine an order of choices: see vlt.choice_order."""


def make_samples(
    stage: Stage,
    parent: Dataset,
    ask: Ask,
    messages: Messages,
    reads: Sequence[str],
    *,
    shown: Shown | None = None,
    name: str,
    round: int | None,
) -> tuple[Dataset, bool]:
    """The parent's rows, once for each answer with `sample` 0, 1, ...; those without one are failed.

    `shown` gives the images that replaced the rows' own. Returns the version and whether it existed
    already.
    """
    if ask.asking.shuffle_choices:
        reads = tuple(dict.fromkeys([*reads, *ORDERED]))
    parents = ask.parents(parent)
    if found := ask.found(name, stage, parents):
        return found, True
    label, spent, failures, cut = ask.label(), Tokens(), Failures(), 0
    with Writer(ask.workspace, stage, name, "sample", parents, round=round) as writer:
        for rows, answers, tokens in ask.answers(parent, messages, reads):
            every = _repeat(rows, [len(of_row) for of_row in answers])
            every = _as_shown(every, ask.asking, shown)
            writer.expect(every)
            flat = [answer for of_row in answers for answer in of_row]
            answered = pa.array([isinstance(a, Completion) for a in flat], pa.bool_())
            predicted = _predicted(every, flat)
            every = every.append_column("predicted", pa.array(predicted, pa.string()))
            every = every.append_column("agreement", _agreements(every, answered))
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
    """Each row repeated `times` times, with the column `sample`."""
    places = pa.array(np.repeat(np.arange(rows.num_rows), times))
    samples = pa.array(np.concatenate([np.arange(n, dtype=np.int32) for n in [0, *times]]))
    return rows.take(places).append_column("sample", samples)


def as_asked(row: Mapping[str, Any], asking: Asking) -> Mapping[str, Any]:
    """The row as its sample (`sample`) is asked: with its own order of choices, if they are shuffled."""
    if not asking.shuffle_choices:
        return row
    order = order_of(row, asking.seed, row["sample"])
    return {**{k: v for k, v in row.items() if k != "sample"}, "choice_order": order}


def _as_shown(every: pa.RecordBatch, asking: Asking, shown: Shown | None) -> pa.RecordBatch:
    """The rows with columns for the images and the order of choices that were shown, if not their own."""
    if asking.shuffle_choices:
        columns = every.select([*ORDERED, "sample"]).to_pylist()
        orders = [order_of(row, asking.seed, row["sample"]) for row in columns]
        every = every.append_column("choice_order", pa.array(orders, pa.list_(pa.int32())))
    if shown:
        images = [shown.of(row) for row in every.select(["id", "images"]).to_pylist()]
        there = [None if isinstance(one, str) else one for one in images]
        every = every.append_column("images_shown", pa.array(there, pa.list_(pa.string())))
    return every


def _predicted(rows: pa.RecordBatch, answers: Sequence[Answer]) -> list[str | None]:
    """Each response's extracted answer; letters refer to the choices in their original order."""
    said = [extract(a.response) if isinstance(a, Completion) else None for a in answers]
    if "choice_order" not in rows.schema.names:
        return said
    columns = rows.select(["choices", "choice_order"]).to_pylist()
    return [predicted_back(one, row) for one, row in zip(said, columns, strict=True)]


def _agreements(rows: pa.RecordBatch, answered: pa.Array) -> pa.Array:
    """The agreement of the samples of each sample's item; null if an item has only one."""
    if len(rows) == pc.sum(pc.equal(rows["sample"], 0)).as_py():
        return pa.nulls(len(rows), pa.float64())
    there = answered.to_pylist()
    starts = [*np.flatnonzero(rows.column("sample").to_numpy() == 0).tolist(), len(rows)]
    samples = rows.select([*COLUMNS, "predicted"]).to_pylist()
    found: list[float | None] = []
    for start, end in pairwise(starts):
        of_item = [samples[place] for place in range(start, end) if there[place]]
        found += [agreement(of_item)] * (end - start)
    return pa.array(found, pa.float64())


def _with_answers(rows: pa.RecordBatch, answers: list[Answer], label: str) -> pa.RecordBatch:
    got = [a for a in answers if isinstance(a, Completion)]
    columns = {
        "response": pa.array([c.response for c in got], pa.string()),
        "reasoning": pa.array([split_reasoning(c.response)[0] for c in got], pa.string()),
        "finish_reason": pa.array([c.finish_reason for c in got], pa.string()),
        "prompt_tokens": pa.array([c.prompt_tokens for c in got], pa.int32()),
        "completion_tokens": pa.array([c.completion_tokens for c in got], pa.int32()),
        "model": pa.array([label] * len(got), pa.string()),
    }
    for column, values in columns.items():
        rows = rows.append_column(column, values)
    return rows
