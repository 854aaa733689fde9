"""vlt label: gives items the majority answer of a model's samples, for items without a gold.

Each item's answer is the majority answer of its samples, with equality as in the grader, if enough of them
give it. Such an item is different from one with the same answer as a gold: it has another id, and every row
made from it has `answer_source` majority. If golds are known, they measure how good such answers are at
each threshold (calibration); the labelled rows do not contain them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vlt.datagen.shown import images_of
from vlt.datagen.sources.check import sound_type
from vlt.datagen.sources.gold import gold
from vlt.datagen.sources.row import BadRow
from vlt.errors import UsageError, UserError
from vlt.evaluation.interval import wilson
from vlt.evaluation.labelling import Labelling
from vlt.grade.agreement import majority, same_answer
from vlt.workspace.lineage import fair_samples
from vlt.workspace.manifest import Stage
from vlt.workspace.reason import Reason
from vlt.workspace.schema import ITEM, MAJORITY, item_id
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import FAILED, Writer

THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0)
"""Thresholds of the calibration, besides the one in use."""
LABEL = "label"
"""Key in an item's meta for the share and number of its samples, and the id of the sampled item."""
CLOSE = 1e-9

Row = dict[str, Any]


def make_labels(
    store: Store,
    samples: Dataset | Sequence[Dataset],
    labelling: Labelling | None = None,
    *,
    name: str = "labelled",
    round: int | None = None,
) -> tuple[Dataset, bool]:
    """The items of the samples with majority answers; the version, and whether it existed already.

    Dropped samples count as well. If golds are known, the manifest's facts have the calibration: precision
    and share of labelled items at each threshold. Raises UserError if no item is labelled.
    """
    parents = [samples] if isinstance(samples, Dataset) else list(samples)
    labelling = labelling or Labelling()
    for parent in parents:
        if parent.kind != "sample":
            raise UsageError(
                f"{parent.ref} holds {parent.kind}s, but vlt label needs samples; draw some with `vlt gen "
                "rollouts` or `vlt gen reasoning`"
            )
        if images_of(store, parent) != "own":
            raise UsageError(
                f"{parent.ref} was sampled with other images than the items' own; use samples with the own "
                "images"
            )
    stage = Stage("label", asdict(labelling))
    if found := store.find(name, stage, parents):
        return found, True
    said = _said(store, parents)
    known: list[tuple[float, bool]] = []
    labelled: set[str] = set()
    with Writer(store, stage, name, "item", parents, round=round) as writer:
        for rows in _items(parents):
            made = [_labelled(row, said[row["id"]], labelling, known) for row in rows]
            for place, (row, reason) in enumerate(made):
                if reason is None and row["id"] in labelled:
                    made[place] = rows[place], Reason("labelled as an item before it")
                elif reason is None:
                    labelled.add(row["id"])
            writer.expect(_table([row for row, _ in made]))
            writer.keep(_table([row for row, reason in made if reason is None]))
            gone = [(row, reason) for row, reason in made if reason]
            writer.drop(_table([row for row, _ in gone]), LABEL, [reason for _, reason in gone])
        writer.facts["calibration"] = calibration(known, labelling.majority)
        if not writer.ledger.kept:
            counts: dict[str, int] = writer.ledger.dropped.get(LABEL, {})
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
            raise UserError(
                f"no item of {', '.join(p.ref for p in parents)} is labelled ({reasons or 'no samples'}); "
                "draw more samples of each (-k), or lower --majority or --min-samples"
            )
    return writer.dataset, False


def _labelled(
    row: Row, said: Sequence[str | None], labelling: Labelling, known: list[tuple[float, bool]]
) -> tuple[Row, Reason | None]:
    """The item with its label, or unchanged with the reason why it has none.

    If it has a gold, (share of the majority, whether it is correct) is added to `known`.
    """
    if len(said) < labelling.min_samples:
        return row, Reason("too few samples", f"{len(said)} of {labelling.min_samples}")
    found = majority([{**row, "predicted": one} for one in said])
    if found and row["answer"] is not None and row["answer_source"] is None:
        known.append((found.share, same_answer(found.answer, row["answer"], row)))
        if labelling.only_unlabelled:
            return row, Reason("has a gold answer")
    if not found or found.share < labelling.majority - CLOSE:
        share = found.share if found else 0.0
        return row, Reason("no majority", f"{share:.2f} of {labelling.majority:g}")
    try:
        answer = gold(found.answer, row["choices"])
        answer_type = sound_type(answer, row["choices"], row["question"], row["answer_type"])
    except BadRow as error:
        return row, Reason("the majority's answer is none", error.reason)
    meta = json.loads(row["meta"] or "{}")
    meta = meta if isinstance(meta, dict) else {"meta": meta}
    meta[LABEL] = {"share": round(found.share, 4), "samples": found.samples, "item": row["id"]}
    parts = (row["source"], row["question"], row["choices"], answer, row["images"])
    return {
        **row,
        "id": item_id(*parts, MAJORITY),
        "answer": answer,
        "answer_type": answer_type,
        "answer_source": MAJORITY,
        "meta": json.dumps(meta, ensure_ascii=True),
    }, None


def calibration(known: Sequence[tuple[float, bool]], asked: float) -> list[dict[str, Any]]:
    """For each threshold: `labelled`, the share of the items with golds (`of` is their number) that it
    labels, and `precision`, the share of these that are correct ({value, low, high, n}, Wilson's 95 %
    interval).

    known: (share of the majority, whether it is correct) of each item. Empty if no gold is known.
    """
    rows = []
    for threshold in sorted({*THRESHOLDS, asked}) if known else ():
        taken = [right for share, right in known if share >= threshold - CLOSE]
        rows.append(
            {
                "majority": threshold,
                "of": len(known),
                "labelled": len(taken) / len(known),
                "precision": asdict(wilson(sum(taken), len(taken))),
            }
        )
    return rows


def _said(store: Store, parents: Sequence[Dataset]) -> dict[str, list[str | None]]:
    """id -> the answer of each of its samples; failed ones do not count, and with --until-correct only the
    first k do."""
    found: dict[str, list[str | None]] = defaultdict(list)
    for parent in parents:
        fair = fair_samples(store, parent)
        names = ["id", "sample", "predicted"]
        gone = parent.dropped.batches([*names, "filter"])
        for batch in chain(parent.batches(names), map(_not_failed, gone)):
            columns = (batch.column(name).to_pylist() for name in names)
            for id, number, predicted in zip(*columns, strict=True):
                if fair is None or number < fair:
                    found[id].append(predicted)
    return found


def _not_failed(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.filter(pc.not_equal(rows.column("filter"), FAILED))


def _items(parents: Sequence[Dataset]) -> Iterator[list[Row]]:
    """Each item with at least one sample that did not fail, once, in the order of the samples."""
    met: set[str] = set()
    for parent in parents:
        gone = (_not_failed(b) for b in parent.dropped.batches([*ITEM.names, "filter"]))
        for batch in chain(parent.batches(ITEM.names), gone):
            rows = []
            for row in batch.select(ITEM.names).to_pylist():
                if row["id"] not in met:
                    met.add(row["id"])
                    rows.append(row)
            if rows:
                yield rows


def _table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), ITEM)
