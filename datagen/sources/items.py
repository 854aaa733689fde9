"""Writes a version of items from a source: every row is read, checked, and kept or set aside.

make_items(store, "rows.jsonl", mapping={"question": "problem"}, name="items")
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.datagen.sources.check import sound_item
from vlt.datagen.sources.columns import choose_columns
from vlt.datagen.sources.load import Loaded, with_images
from vlt.datagen.sources.locate import Source, open_source
from vlt.datagen.sources.record import BadRow, Record, Row, Unreadable, raw_text, read_record
from vlt.datagen.sources.select import selected_places
from vlt.errors import UsageError, UserError
from vlt.images.store import ImageStore, Inspected
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import ITEM
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer

BATCH = 1_000


def make_items(
    store: Store,
    source: str,
    *,
    mapping: Mapping[str, str] | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    where: str | None = None,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    folder: Path | None = None,
    name: str = "items",
    round: int | None = None,
    source_settings: Mapping[str, Any] | None = None,
    images: ImageStore | None = None,
    private_urls: bool = False,
    chosen: Callable[[Mapping[str, str], Mapping[str, str]], None] = lambda _, __: None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Dataset, bool]:
    """(the version of items, whether it was there already).

    `mapping` is {"question": column, ...}; `where` is SQL over the columns of an item; `sample`
    takes that many rows by `seed`, in the order of the source; `images` is the workspace's image
    store where the caller holds it open; `private_urls` lets images come from addresses of one's own
    network; `chosen` is told the mapping and the part of it that was guessed, before a row is read;
    `progress` is told how far it is. Raises UserError where the source
    cannot be read or not one of its rows makes an item.
    """
    if limit is not None and sample is not None:
        raise UsageError("--limit and --sample exclude each other; name one of them")
    opened = open_source(
        source,
        split=split,
        config=config,
        revision=revision,
        folder=folder,
        settings=source_settings,
    )
    columns, guessed = choose_columns(opened.columns(), mapping, opened.where)
    chosen(columns, guessed)
    stage = Stage(
        "import",
        {
            "source": opened.name,
            **opened.identity(columns),
            "columns": columns,
            "limit": limit,
            "sample": sample,
            "seed": seed if sample is not None else None,
            "where": where,
        },
    )
    if found := store.find(name, stage, []):
        return found, True
    places = selected_places(opened, columns, where, sample, seed) if where or sample else None
    with Writer(
        store, stage, name, "item", round=round, libraries=["pillow", "datasets"]
    ) as writer:
        with nullcontext(images) if images else ImageStore(store.images_folder) as held:
            intake = _Intake(opened.name, writer, held, progress)
            records = _records(opened, columns, places, limit)
            for (place, row, record), loaded in with_images(records, held, private=private_urls):
                intake.take(place, row, record, loaded)
            intake.finish()
            held.flush()  # before the version that refers to them appears
        if not writer.ledger.kept:
            raise UserError(_nothing(opened, writer, intake))
        writer.facts = {"converted_images": intake.converted, **opened.description}
    return writer.dataset, False


def _records(
    source: Source, columns: Mapping[str, str], places: set[int] | None, limit: int | None
) -> Iterator[tuple[int, Row | Unreadable, Record | BadRow]]:
    taken = 0
    for place, row in enumerate(source.rows()):
        if places is not None and place not in places:
            continue
        if taken == (len(places) if places is not None and limit is None else limit):
            return
        taken += 1
        if isinstance(row, Unreadable):
            yield place, row, BadRow(row.reason)
            continue
        try:
            yield place, row, read_record(row, columns, source.folder)
        except BadRow as error:
            yield place, row, error


class _Intake:
    """Gathers kept, dropped and failed rows and hands them to the writer in batches, in order."""

    def __init__(
        self,
        source: str,
        writer: Writer,
        images: ImageStore,
        progress: Callable[[str], None],
    ):
        self.source, self.writer, self.images, self.progress = source, writer, images, progress
        self.converted = 0
        self.first_reason = ""
        self._kept: list[dict[str, Any]] = []
        self._twice: list[dict[str, Any]] = []
        self._failed: list[dict[str, Any]] = []
        self._reasons: list[str] = []
        self._seen: set[bytes] = set()

    def take(
        self, place: int, row: Row | Unreadable, record: Record | BadRow, loaded: list[Loaded]
    ) -> None:
        """One row of the source."""
        try:
            if isinstance(record, BadRow):
                raise record
            bad = next((image for image in loaded if isinstance(image, BadRow)), None)
            if bad:
                raise bad
            hashes = [
                i if isinstance(i, str) else i.sha256 for i in loaded if not isinstance(i, BadRow)
            ]
            item = sound_item(record, hashes, self.source)
        except BadRow as error:
            self.first_reason = self.first_reason or error.reason
            self._reasons.append(error.reason)
            self._failed.append(_failed_row(self.source, place, row, record))
        else:
            for image in loaded:
                if isinstance(image, Inspected):
                    self.converted += image.converted
                    self.images.add_new(image)
            key = bytes.fromhex(item["id"])
            (self._twice if key in self._seen else self._kept).append(item)
            self._seen.add(key)
        if len(self._kept) + len(self._twice) + len(self._failed) >= BATCH:
            self.finish()

    def finish(self) -> None:
        """Write what is held."""
        for rows in (self._kept, self._twice, self._failed):
            if rows:
                self.writer.expect(pa.Table.from_pylist(rows, ITEM))
        self.writer.keep(pa.Table.from_pylist(self._kept, ITEM))
        if self._twice:
            reasons = ["same question, answer and images as a row before it"] * len(self._twice)
            self.writer.drop(pa.Table.from_pylist(self._twice, ITEM), "duplicate", reasons)
        if self._failed:
            self.writer.fail(pa.Table.from_pylist(self._failed, ITEM), self._reasons)
        self._kept, self._twice, self._failed, self._reasons = [], [], [], []
        counts = self.writer.ledger
        failed = counts.failed.total()
        self.progress(f"{counts.kept:,} items" + (f", {failed:,} failed" if failed else ""))


def _failed_row(
    source: str, place: int, row: Row | Unreadable, record: Record | BadRow
) -> dict[str, Any]:
    """What there is of a row that makes no item; its id is made of its place."""
    raw = raw_text(row)
    known = record if isinstance(record, Record) else None
    text = f"failed\0{source}\0{place}\0{raw}"
    return {
        "id": hashlib.blake2b(text.encode(errors="replace"), digest_size=16).hexdigest(),
        "source": (known and known.source) or source,
        "question": known.question if known else None,
        "choices": known.choices if known else [],
        "answer": known.answer if known and isinstance(known.answer, str) else None,
        "answer_type": None,
        "images": [],
        "meta": json.dumps({"row": place + 1, "raw": raw}, ensure_ascii=True),
    }


def _nothing(source: Source, writer: Writer, intake: _Intake) -> str:
    """Why there is no version: the source gave no row, or none that makes an item."""
    failed = writer.ledger.failed
    if not failed:
        return f"{source.where} gives no rows (is --where or --split too narrow?)"
    counts = Counter(failed).most_common(3)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts)
    example = f"; e.g. {intake.first_reason}" if intake.first_reason != counts[0][0] else ""
    return f"none of the {writer.ledger.rows_in:,} rows of {source.where} is an item: {reasons}{example}"
