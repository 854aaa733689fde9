"""Sources whose rows must be converted before their columns are those of an item.

Each layout is a source that wraps another one: it gets the raw rows, and yields rows with the columns of
an item. `laid_out` detects the layout, if any, from the first rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from vlt.datagen.sources.columns import NAMES, Mapping_
from vlt.datagen.sources.conversations import COLUMNS, asked_rows, turns_of
from vlt.datagen.sources.files import FileSource
from vlt.datagen.sources.function import FunctionSource
from vlt.datagen.sources.images_of import looks_like_image
from vlt.datagen.sources.locate import Source
from vlt.datagen.sources.row import Row, Unreadable

LOOK = 20
"""Rows from which a layout is detected."""
VERL = "reward_model"
"""The column in which verl's data has the gold, as `ground_truth`."""


class LaidOut:
    """A source with converted rows; everything else is passed through."""

    as_it_is = False

    def __init__(self, origin: Any):
        self.origin = origin
        self.name, self.where, self.folder = origin.name, origin.where, origin.folder
        self.description, self.notes = origin.description, list(origin.notes)

    def columns(self) -> list[str]:
        """The names of the columns."""
        found: list[str] = self.origin.columns()
        return found

    def rows(self, leave_out: Sequence[str] = ()) -> Iterator[Row | Unreadable]:
        """The converted rows; all columns of the original rows are read."""
        for row in self.origin.rows():
            if isinstance(row, Unreadable):
                yield row
            else:
                for made in self.changed(row):
                    yield (
                        made
                        if isinstance(made, Unreadable) or not leave_out
                        else {k: v for k, v in made.items() if k not in leave_out}
                    )

    def changed(self, row: Row) -> Iterator[Row | Unreadable]:
        """The rows made from one row."""
        yield row

    def identity(
        self, columns: Mapping[str, str], rows: Iterable[Row | Unreadable] | None = None
    ) -> dict[str, Any]:
        """The origin's, with the images of the converted rows."""
        if isinstance(self.origin, FileSource | FunctionSource | LaidOut):
            return self.origin.identity(columns, self.rows() if rows is None else rows)
        found: dict[str, Any] = self.origin.identity(columns)
        return found


class Conversations(LaidOut):
    """A question and its answer for each pair of turns of a conversation."""

    def __init__(self, origin: Any, column: str, *, own_answer: bool = False):
        super().__init__(origin)
        self.column, self.own_answer = column, own_answer
        there = origin.columns()
        lowered = {name.lower(): name for name in reversed(there)}
        self.images = next((lowered[n] for n in NAMES["images"] if n in lowered), None)
        own = [n for n in NAMES["answer"] if n in lowered and lowered[n] != column]
        self.answer = VERL if VERL in there else lowered[own[0]] if own else None

    def columns(self) -> list[str]:
        """The columns of the converted rows."""
        kept = [c for c in self.origin.columns() if c not in (self.column, self.images)]
        made = ["question", "choices", "images", "response"]
        if self.answer == VERL or not (self.answer or self.own_answer):
            made.append("answer")
        return list(dict.fromkeys([*kept, *made]))

    def changed(self, row: Row) -> Iterator[Row | Unreadable]:
        """The questions of the row's conversation."""
        for made in asked_rows(row, self.column, self.images, self.answer):
            reward = made.get(VERL) if not isinstance(made, Unreadable) else None
            if isinstance(made, Unreadable) or not isinstance(reward, Mapping):
                yield made
            else:
                yield {**made, "answer": reward.get("ground_truth")}

    def identity(
        self, columns: Mapping[str, str], rows: Iterable[Row | Unreadable] | None = None
    ) -> dict[str, Any]:
        """The origin's, with the version of the rules that split a conversation into questions."""
        return {**super().identity(columns, rows), "conversations": 2}


class Instructions(LaidOut):
    """Alpaca's columns: the question is the instruction with its input."""

    def columns(self) -> list[str]:
        """The columns, with one for the question."""
        return [
            "question",
            *(c for c in self.origin.columns() if c not in ("instruction", "input")),
        ]

    def changed(self, row: Row) -> Iterator[Row | Unreadable]:
        """The row with its question."""
        rest = {k: v for k, v in row.items() if k not in ("instruction", "input")}
        asked = [row.get("instruction"), row.get("input")]
        yield {**rest, "question": "\n".join(str(part) for part in asked if part)}


class Evaluation(LaidOut):
    """VLMEvalKit's TSV: an image may be the index of another row with it; a hint precedes the question."""

    def __init__(self, origin: Any):
        super().__init__(origin)
        self._held: dict[str, Any] | None = None

    def changed(self, row: Row) -> Iterator[Row | Unreadable]:
        """The row with the image that it refers to, and its hint before the question."""
        held = self._images()
        hint, question = row.get("hint"), row.get("question")
        yield {
            **row,
            "image": held.get(str(row.get("image")), row.get("image")),
            "question": f"{hint}\n{question}" if hint and question else question,
        }

    def _images(self) -> dict[str, Any]:
        """The images to which rows refer, by the index of their row."""
        if self._held is None:
            rows = [lambda: self.origin.rows()] * 2
            named = {str(r["image"]) for r in readable(rows[0]()) if _is_index(r.get("image"))}
            self._held = {
                str(row["index"]): row["image"]
                for row in (readable(rows[1]()) if named else ())
                if str(row.get("index")) in named and not _is_index(row.get("image"))
            }
        return self._held


def laid_out(source: Source, mapping: Mapping_ | None, *, own_answer: bool = False) -> Source:
    """The source, in a layout if its first rows have one; columns in `mapping` are unchanged.

    With `own_answer` no gold is taken from the assistant's reply, which is the response to be graded.
    """
    mapping = mapping or {}
    there = source.columns()
    if source.as_it_is:
        return source
    if {"index", "question", "image", "A", "B"} <= set(there) and "images" not in mapping:
        return Evaluation(source)
    if {"instruction", "input"} <= set(there) and "question" not in {*mapping, *there}:
        return Instructions(source)
    lowered = {name.strip().lower(): name for name in reversed(there)}
    asked = mapping.get("question")
    names = [asked] if asked else [lowered[name] for name in COLUMNS if name in lowered]
    plain = [lowered[n] for n in NAMES["question"] if n in lowered and lowered[n] not in names]
    for column in names:
        if (asked or not plain) and _holds_turns(source, column):
            return Conversations(source, column, own_answer=own_answer)
    return source


def like_images(source: Source, taken: Sequence[str]) -> list[str]:
    """Columns whose cells look like images, used if no column name is known."""
    rows = list(islice(readable(source.rows()), LOOK))
    names = dict.fromkeys(name for row in rows for name in row if name not in taken)
    filled = {name: [r[name] for r in rows if r.get(name) is not None] for name in names}
    return [name for name, cells in filled.items() if cells and all(map(looks_like_image, cells))]


def _is_index(value: Any) -> bool:
    return isinstance(value, str | int) and str(value).strip().isdigit() and len(str(value)) < 20


def _holds_turns(source: Source, column: str) -> bool:
    """Whether the first cells of a column are conversations."""
    cells = [row.get(column) for row in islice(readable(source.rows()), LOOK)]
    filled = [cell for cell in cells if cell is not None]
    turns = [turns_of(cell) for cell in filled]
    return bool(turns) and any(turn is not None and any(t.role for t in turn) for turn in turns)


def readable(rows: Iterator[Row | Unreadable]) -> Iterator[Row]:
    return (row for row in rows if not isinstance(row, Unreadable))
