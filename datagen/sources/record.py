"""Reads a source's row into a record: texts, choices, and references to its images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlt.datagen.sources.choices import are_numbers, choices_of, in_columns, question_and_choices
from vlt.datagen.sources.columns import IN_COLUMNS, LETTERED, NUMBERED, NUMBERED_NAMES
from vlt.datagen.sources.images_of import ImageRef, image_refs
from vlt.datagen.sources.paths import Folders
from vlt.datagen.sources.row import MAX_TEXT, BadRow, Row, Unreadable, plain, raw_text
from vlt.grade import extract
from vlt.prompts import LETTERS, PLACEHOLDER

__all__ = ["BadRow", "Record", "Row", "Unreadable", "raw_text", "read_record"]

TEMPLATED = "<|vision_start|><|image_pad|><|vision_end|>"
"""An image placeholder already expanded by a chat template."""
MAX_META = 20_000
"""Maximum characters kept of one other column."""


@dataclass
class Record:
    """A parsed row; only its types are checked."""

    question: str
    choices: list[str]
    answer: Any
    answer_type: str | None
    images: list[ImageRef]
    source: str | None
    counted: bool = False
    """Whether the choices are numbers: then a numeric answer is one of them, not an index."""
    meta: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    """The columns of a caption or a sample: caption, response, model, ... (see own.py)."""
    unlabelled: bool = False
    """Whether it may lack a gold answer."""


def read_record(
    row: Row,
    columns: Mapping[str, str],
    folder: Folders | Path | None,
    *,
    as_it_is: bool = False,
    more: tuple[str, ...] = (),
    unlabelled: bool = False,
) -> Record:
    """The row's record; image paths are relative to `folder`. Raises BadRow for a wrong type.

    `as_it_is` leaves options in the question's text, where a benchmark's own prompt has them; `more`
    are names of columns besides an item's; with `unlabelled` the gold, by which options in the text are
    recognised, may be missing.
    """

    def cell(target: str) -> Any:
        value = cell_of(row, columns[target]) if target in columns else None
        return None if isinstance(value, float) and math.isnan(value) else value

    source, answer_type = _name(cell("source"), "source"), _name(cell("answer_type"), "answer type")
    meta = _meta(row, columns, cell("meta"))
    answer = cell("answer")
    if isinstance(answer, str) and ("<answer>" in answer or "\\boxed" in answer):
        meta["solution"], answer = answer[:MAX_META], extract(answer)
    question = _text(cell("question"), "question").replace(TEMPLATED, PLACEHOLDER)
    lettered = columns.get("choices") == IN_COLUMNS
    choices = in_columns(row, LETTERED) if lettered else choices_of(cell("choices"))
    if not choices and not as_it_is and isinstance(answer, str):
        question, choices = question_and_choices(question, answer)
    elif not choices and not as_it_is and unlabelled and answer is None:
        question, choices = question_and_choices(question, LETTERS[0])
    return Record(
        question=question,
        choices=choices,
        answer=answer,
        answer_type=answer_type,
        images=image_refs(images_cell(row, columns), folder),
        source=source,
        counted=are_numbers(cell("choices")),
        meta=meta,
        more={name: cell(name) for name in more},
        unlabelled=unlabelled,
    )


def images_cell(row: Row, columns: Mapping[str, str]) -> Any:
    """The row's images: from their column, or from another that may have them."""
    column = columns.get("images")
    if column is None:
        return None
    if column == NUMBERED:
        return [row[name] for name in NUMBERED_NAMES if not _is_nothing(row.get(name))]
    value = cell_of(row, column)
    if not _is_nothing(value):
        return value
    also = columns.get("images too", "")
    return next((row[n] for n in also.split(",") if n and not _is_nothing(row.get(n))), None)


def cell_of(row: Row, column: str) -> Any:
    """The value of a column; `a.b` is the value of b in the object a."""
    value = row.get(column)
    if value is None and "." in column:
        value = row
        for part in column.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def sound_text(value: Any, what: str, most: int) -> str:
    """The text unchanged; raises BadRow if it is not text, empty, too long or not valid Unicode."""
    if value is None:
        raise BadRow(f"no {what}")
    if not isinstance(value, str):
        raise BadRow(f"{what} is not text: {type(value).__name__}")
    if not value.strip():
        raise BadRow(f"{what} is empty")
    if len(value) > most:
        raise BadRow(f"{what} is too long ({len(value):,} characters, at most {most:,})")
    return _valid(value, what)


def _text(value: Any, what: str) -> str:
    return sound_text(value, what, MAX_TEXT).strip()


def _name(value: Any, what: str) -> str | None:
    return _valid(value, what) if isinstance(value, str) and value else None


def _valid(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRow(f"{what} is not valid Unicode") from None
    return text


def _meta(row: Row, columns: Mapping[str, str], given: Any) -> dict[str, Any]:
    """Everything in the row besides an item's columns, including `id` and the source's own meta."""
    used = {c for t, c in columns.items() if t not in ("id",)}
    used |= set(LETTERED) if columns.get("choices") == IN_COLUMNS else set()
    used |= set(NUMBERED_NAMES) if columns.get("images") == NUMBERED else set()
    meta = dict(given) if isinstance(given, Mapping) else {}
    if isinstance(given, str) and given:
        try:
            loaded = json.loads(given)
        except ValueError:
            loaded = given
        meta = loaded if isinstance(loaded, dict) else {"meta": loaded}
    for name, value in row.items():
        if name in used or value is None or isinstance(value, bytes):
            continue
        value = plain(value, MAX_META)
        if len(json.dumps(value)) <= MAX_META:
            meta.setdefault(name, value)
    return meta
