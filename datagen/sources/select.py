"""Which rows of a source to take: those that satisfy an SQL condition, or a sample of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa

from vlt.datagen.import_settings import Import
from vlt.datagen.sources.choices import choices_of, in_columns
from vlt.datagen.sources.columns import IN_COLUMNS, LETTERED, NUMBERED, NUMBERED_NAMES
from vlt.datagen.sources.gold import Counted, gold, has_gold, how_counted, whole
from vlt.datagen.sources.locate import Source
from vlt.datagen.sources.record import cell_of, read_record
from vlt.datagen.sources.row import BadRow, Row, Unreadable
from vlt.errors import UsageError
from vlt.grade import answer_type_of

BATCH = 2_000
LOOK, LOOK_FURTHER = 50, 1_000
"""Rows from which the meaning of integers is inferred; the larger number if the first rows have any."""
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
"""The columns of a condition: an item without its images, and `meta` with all other columns."""


def selected_places(
    source: Source,
    columns: Mapping[str, str],
    what: Import,
    counted: Counted = Counted.unknown,
) -> set[int]:
    """The positions (from 0) of the wanted rows; the source is read without its images.

    With `where`, rows that cannot be read do not match. Raises UsageError for a broken condition.
    """
    if what.where:
        batches = _batches(source, columns, counted, what.unlabelled)
        places = [place for batch in batches for place in _matching(batch, what.where)]
    else:
        places = list(range(sum(1 for _ in source.rows(leave_out=image_columns(columns)))))
    if what.sample is not None and what.sample < len(places):
        places = random.Random(what.seed).sample(places, what.sample)
    return set(places)


def image_columns(columns: Mapping[str, str]) -> list[str]:
    """The columns with images."""
    if columns.get("images") == NUMBERED:
        return list(NUMBERED_NAMES)
    return [columns[name] for name in ("images", "images too") if name in columns]


def whole_numbers(source: Source, columns: Mapping[str, str]) -> Counted:
    """What integers in the source's golds mean: indices of choices from 0 or from 1, or texts."""
    if "choices" not in columns or "answer" not in columns or source.as_it_is:
        return Counted.unknown
    pairs = _golds(source, columns)
    first = list(islice(pairs, LOOK))
    if not any(whole(value) is not None for value, _ in first):
        return Counted.unknown
    return how_counted([*first, *islice(pairs, LOOK_FURTHER - LOOK)])


def _golds(source: Source, columns: Mapping[str, str]) -> Iterator[tuple[Any, list[str]]]:
    """Gold and choices of each row; no choices if they are numbers themselves."""
    for row in source.rows(leave_out=image_columns(columns)):
        if isinstance(row, Unreadable):
            continue
        try:
            choices = _choices(row, columns["choices"])
        except BadRow:
            continue
        yield cell_of(row, columns["answer"]), choices


def _choices(row: Row, column: str) -> list[str]:
    if column == IN_COLUMNS:
        return in_columns(row, LETTERED)
    value = cell_of(row, column)
    numbers = isinstance(value, list) and all(isinstance(v, int | float) for v in value)
    return [] if numbers else choices_of(value)


def _batches(
    source: Source, columns: Mapping[str, str], counted: Counted, unlabelled: bool
) -> Iterator[list[dict[str, Any]]]:
    held = image_columns(columns)
    texts = {t: column for t, column in columns.items() if t not in ("images", "images too")}
    batch: list[dict[str, Any]] = []
    for place, row in enumerate(source.rows(leave_out=held)):
        if isinstance(row, Unreadable):
            continue
        try:
            record = read_record(
                {k: v for k, v in row.items() if k not in held},
                texts,
                source.folder,
                as_it_is=source.as_it_is,
                unlabelled=unlabelled,
            )
            answer = None
            if has_gold(record.answer) or not unlabelled:
                answer = gold(record.answer, record.choices, counted=record.counted, places=counted)
        except BadRow:
            continue
        own = answer_type_of(answer, record.choices or None) if answer is not None else None
        batch.append(
            {
                "place": place,
                "source": record.source or source.name,
                "question": record.question,
                "choices": record.choices,
                "answer": answer,
                "answer_type": record.answer_type or own,
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
