"""A summary of a source before anything is imported: answers, images, problems. Nothing is written."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from vlt.datagen.import_settings import Import
from vlt.datagen.sources.check import sound_item
from vlt.datagen.sources.files import FileSource, ItemFiles, open_path
from vlt.datagen.sources.formats import ending_of
from vlt.datagen.sources.images_of import ImageRef
from vlt.datagen.sources.items import in_its_layout, read_records
from vlt.datagen.sources.layouts import LaidOut
from vlt.datagen.sources.load import read_image
from vlt.datagen.sources.locate import Source
from vlt.datagen.sources.record import BadRow, Record
from vlt.datagen.sources.repository import HubSource
from vlt.datagen.sources.select import image_columns, whole_numbers
from vlt.errors import UserError
from vlt.plural import plural
from vlt.workspace.reason import kind_of

ROWS, ROWS_OF_HUB = 2_000, 200
"""Maximum rows that are read; rows from the Hub are downloaded with their images."""
IMAGES = 200
"""Maximum images whose size is measured."""
COUNTED = 200_000
"""Maximum rows that are counted."""
HELD_OUT = ("test", "testmini", "validation", "val", "dev", "eval")
"""Names of held-out splits, the likeliest first."""
ANY = "0" * 64
"""A stand-in for an image's sha256."""


@dataclass
class Looked:
    """The summary of a source."""

    name: str
    layout: str
    """JSONL; Parquet, 3 files; conversations in JSON; ..."""
    columns: dict[str, str]
    """What a row needs -> the column from which it is read."""
    guessed: list[str]
    """Those that were guessed from column names."""
    looked: int = 0
    """Rows that were read, from the first on."""
    rows: int = 0
    """All rows."""
    more: bool = False
    """Whether there are more rows than were counted."""
    items: int = 0
    """Rows read that are valid items."""
    answer_types: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    images_of_item: Counter[int] = field(default_factory=Counter)
    """Images per item -> number of items."""
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Width and height of the images that were measured."""
    two_options: int = 0
    """Items with two possible answers."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why the other rows are not valid items -> number of rows."""
    notes: list[str] = field(default_factory=list)
    held_out: str | None = None
    """A held-out split of the source, if there is one."""

    @property
    def pixels(self) -> int | None:
        """The median number of pixels of an image."""
        return round(median(w * h for w, h in self.sizes)) if self.sizes else None

    @property
    def no_image(self) -> int:
        """Items without an image."""
        return self.images_of_item[0]

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        counts = ("answer_types", "sources", "images_of_item", "left_out")
        plain = ("name", "layout", "columns", "guessed", "looked", "rows", "more", "items")
        found = {name: getattr(self, name) for name in (*plain, "two_options", "notes", "held_out")}
        found |= {name: dict(getattr(self, name)) for name in counts}
        return {**found, "sizes": self.sizes, "pixels": self.pixels}

    def lines(self) -> list[tuple[str, str]]:
        """(topic, text) lines to print."""
        amount = f"{self.rows:,} or more" if self.more else f"{self.rows:,}"
        by = (
            ""
            if self.looked == self.rows
            else f"; the lines below are about the first {self.looked:,}"
        )
        said = [("rows", f"{amount} ({self.layout}){by}")]
        renamed = [t if t == c else f"{t} = {c}" for t, c in self.columns.items()]
        said.append(("columns", ", ".join(renamed)))
        if self.guessed:
            said.append(("guessed", f"{', '.join(self.guessed)} (change with --map NAME=COLUMN)"))
        said.append(("answers", _shares(self.answer_types)))
        if len(self.sources) > 1:
            said.append(("sources", _shares(self.sources)))
        said.append(("images", self._images()))
        if self.left_out:
            reasons = ", ".join(
                f"{rows:,} {reason}" for reason, rows in self.left_out.most_common(4)
            )
            said.append(("left out", f"{plural(self.left_out.total(), 'row')}: {reasons}"))
        return [*said, *(("note", note) for note in self.notes)]

    def _images(self) -> str:
        if self.items and self.no_image == self.items:
            return "none: all items are text-only"
        numbers = [f"{n}" for n in sorted(self.images_of_item) if n]
        if len(numbers) > 2:
            numbers = [f"{numbers[0]} to {numbers[-1]}"]
        said = [f"{' or '.join(numbers)} per item"]
        if self.sizes:
            ordered = sorted(self.sizes, key=lambda size: size[0] * size[1])
            (w, h), (most_w, most_h) = ordered[len(ordered) // 2], ordered[-1]
            said.append(f"median {w:,} x {h:,} pixels, up to {most_w:,} x {most_h:,}")
        if self.no_image:
            said.append(f"{plural(self.no_image, 'item')} without one")
        return "; ".join(said)


def look_at(what: Import) -> Looked:
    """Read a source's first rows as an import would; raises UserError if it cannot be read."""
    guesses: dict[str, str] = {}

    def chosen(_: Mapping[str, str], guessed: Mapping[str, str]) -> None:
        guesses.update(guessed)

    opened, columns = in_its_layout(what, chosen)
    shown = {t: c for t, c in columns.items() if t != "images too"}
    found = Looked(opened.name, _layout(opened), shown, list(guesses), notes=list(opened.notes))
    counted = whole_numbers(opened, columns)
    most = ROWS_OF_HUB if isinstance(_origin(opened), HubSource) else ROWS
    for _, _, record in read_records(opened, columns, None, most, ()):
        found.looked += 1
        try:
            if isinstance(record, BadRow):
                raise record
            if not record.images and what.images == "required":
                raise BadRow("no image")
            item = sound_item(record, [ANY] * len(record.images), opened.name, counted)
            _measure(record.images, found)
        except BadRow as error:
            found.left_out[kind_of(error.reason)] += 1
        else:
            _count(found, record, item)
    _count_rows(found, opened, columns, most, what)
    found.held_out = _held_out(opened, what)
    if not found.items:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in found.left_out.most_common(3))
        raise UserError(
            f"none of the first {plural(found.looked, 'row')} of {opened.where} is a valid item"
            + (f": {reasons}" if reasons else "; check --split")
        )
    return found


def _count(found: Looked, record: Record, item: Mapping[str, Any]) -> None:
    found.items += 1
    found.answer_types[item["answer_type"]] += 1
    found.sources[item["source"]] += 1
    found.images_of_item[len(record.images)] += 1
    found.two_options += len(item["choices"]) == 2 or item["answer_type"] == "yes_no"


def _measure(images: Sequence[ImageRef], found: Looked) -> None:
    """Record the images' sizes, from their headers; URLs are not fetched. Raises BadRow for a broken one."""
    from PIL import Image, UnidentifiedImageError

    for ref in images:
        if len(found.sizes) >= IMAGES:
            return
        if isinstance(ref, str):
            continue
        data = ref if isinstance(ref, bytes) else read_image(ref, private=False)
        try:
            with Image.open(io.BytesIO(data)) as image:
                found.sizes.append(image.size)
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
            raise BadRow("image cannot be read") from None


def _count_rows(
    found: Looked, opened: Source, columns: Mapping[str, str], most: int, what: Import
) -> None:
    """Count the rows; those of the Hub are not downloaded for that."""
    if found.looked < most:
        found.rows = found.looked
    elif most == ROWS_OF_HUB:
        found.rows, found.more = found.looked, True
    else:
        rows = opened.rows(leave_out=image_columns(columns))
        found.rows = sum(1 for _ in islice(rows, COUNTED + 1))
        found.more = found.rows > COUNTED
        found.rows = min(found.rows, COUNTED)
    for most_wanted in (what.limit, what.sample):
        if most_wanted is not None and found.rows > most_wanted:
            found.rows, found.more = most_wanted, False


def _held_out(opened: Source, what: Import) -> str | None:
    """Another split of the source whose name marks it as held out."""
    origin = _origin(opened)
    if not isinstance(origin, FileSource) or isinstance(origin, ItemFiles):
        return None
    path, here = Path(what.source).expanduser(), list(islice(origin.rows(), 5))
    for split in HELD_OUT:
        if split == what.split or not path.exists():
            continue
        try:
            other = open_path(path, split, what.image_root, what.config)
            there = list(islice(other.rows(), 5))
        except UserError:
            continue
        if there and there != here:
            return split
    return None


def _origin(opened: Any) -> Any:
    return _origin(opened.origin) if isinstance(opened, LaidOut) else opened


def _layout(opened: Source) -> str:
    """A short description of the source."""
    origin = _origin(opened)
    if isinstance(origin, ItemFiles):
        said = f"{plural(len(origin.files), 'JSON file')} with one item each"
    elif isinstance(origin, FileSource):
        kind = ending_of(origin.files[0]).lstrip(".")
        names = {"jsonl": "JSONL", "ndjson": "JSONL", "json": "JSON", "csv": "CSV", "tsv": "TSV",
                 "parquet": "Parquet", "arrow": "Arrow", "feather": "Feather",
                 "tar": "WebDataset"}  # fmt: skip
        said = names[kind] + (f", {len(origin.files)} files" if len(origin.files) > 1 else "")
    elif isinstance(origin, HubSource):
        said = f"{origin.repo} on the Hub, split {origin.split}"
    else:
        said = opened.where
    laid = type(opened).__name__.lower() if isinstance(opened, LaidOut) else ""
    words = {"conversations": "conversations", "instructions": "instructions"}
    return f"{words[laid]} in {said}" if laid in words else said


def _shares(counts: Counter[str]) -> str:
    """integer 60 %, choice 40 %"""
    total = counts.total()
    shown = [f"{name} {100 * n / total:.0f} %" for name, n in counts.most_common(6)]
    rest = len(counts) - len(shown)
    return ", ".join(shown + ([f"{rest} more"] if rest else []))
