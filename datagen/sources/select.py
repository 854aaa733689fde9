"""Which rows of a source are wanted: those that match an SQL condition, or a sample of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from vlt.datagen.sources.check import gold
from vlt.datagen.sources.locate import Source
from vlt.datagen.sources.record import BadRow, Unreadable, read_record
from vlt.errors import UsageError
from vlt.grade import answer_type_of

BATCH = 2_000
_ROWS = pa.schema(
    [
        ("place", pa.int64()),
        ("source", pa.string()),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("answer_type", pa.string()),
        ("meta", pa.string()),
    ]
)
"""What a condition can speak of: an item before its images, and `meta` with all other columns."""


def selected_places(
    source: Source, columns: Mapping[str, str], where: str | None, sample: int | None, seed: int
) -> set[int]:
    """The places (from 0) of the wanted rows; the source is read without its images.

    With `where`, rows that cannot be read do not match. Raises UsageError for a broken condition.
    """
    if where:
        places = [place for batch in _batches(source, columns) for place in _matching(batch, where)]
    else:
        places = list(range(sum(1 for _ in source.rows(leave_out=[columns["images"]]))))
    if sample is not None and sample < len(places):
        places = random.Random(seed).sample(places, sample)
    return set(places)


def _batches(source: Source, columns: Mapping[str, str]) -> Iterator[list[dict[str, Any]]]:
    texts = {target: column for target, column in columns.items() if target != "images"}
    batch: list[dict[str, Any]] = []
    for place, row in enumerate(source.rows(leave_out=[columns["images"]])):
        if isinstance(row, Unreadable):
            continue
        try:
            record = read_record(
                {k: v for k, v in row.items() if k != columns["images"]}, texts, source.folder
            )
            answer = gold(record.answer, record.choices, counted=record.counted)
        except BadRow:
            continue
        batch.append(
            {
                "place": place,
                "source": record.source or source.name,
                "question": record.question,
                "choices": record.choices,
                "answer": answer,
                "answer_type": record.answer_type or answer_type_of(answer, record.choices or None),
                "meta": json.dumps(record.meta, ensure_ascii=True),
            }
        )
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _matching(batch: list[dict[str, Any]], where: str) -> list[int]:
    import duckdb

    with duckdb.connect() as db:
        db.execute("SET enable_external_access = false")
        db.register("rows", pa.Table.from_pylist(batch, _ROWS))
        try:
            found = db.execute(f"SELECT place FROM rows WHERE {where}").fetchall()
        except duckdb.Error as error:
            words = str(error).split("\n")[0]
            raise UsageError(
                f"--where {where!r} is not a condition on source, question, choices, answer, "
                f"answer_type and meta ({words}); write e.g. --where \"meta->>'grade' = '3'\""
            ) from None
    return [place for (place,) in found]
