"""Collects kept, dropped and failed rows and passes them to the writer in batches, in order."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from vlt.datagen.import_settings import Import
from vlt.datagen.sources.check import sound_item
from vlt.datagen.sources.gold import Counted, is_letter
from vlt.datagen.sources.load import Loaded
from vlt.datagen.sources.own import Numbered
from vlt.datagen.sources.record import BadRow, Record, Row, Unreadable, raw_text
from vlt.images.store import ImageStore, Inspected
from vlt.plural import plural
from vlt.workspace.progress import report_progress
from vlt.workspace.schema import KINDS
from vlt.workspace.writer import Writer

BATCH = 1_000
REPORT_SECONDS = 0.1
"""Seconds between two reports of the progress."""
ELSEWHERE = "give the root of image paths, if it is not the file's folder, with --image-root FOLDER"
HINTS = {
    "image path leads out of the folder": ELSEWHERE,
    "image is a Git LFS pointer": "fetch the images with `git lfs pull` in their repository",
}
"""Reason of failed rows -> what to do about all of them."""


class Intake:
    """Sorts the rows of one import into kept, dropped and failed."""

    def __init__(
        self,
        source: str,
        what: Import,
        writer: Writer,
        images: ImageStore,
        counted: Counted,
        progress: Callable[[str], None],
        total: int | None = None,
    ):
        """`total` is the number of rows to come, if known."""
        self.source, self.writer, self.images, self.progress = source, writer, images, progress
        self.kind, self.counted = what.row_kind, counted
        self.images_required = what.images == "required"
        self.total, self.taken, self._reported = total, 0, 0.0
        self.converted = self.without_image = self.bare_letters = self.without_gold = 0
        self.first_reason = ""
        self._schema = KINDS[self.kind]
        self._numbered = Numbered()
        self._kept: list[dict[str, Any]] = []
        self._twice: list[dict[str, Any]] = []
        self._failed: list[dict[str, Any]] = []
        self._reasons: list[str] = []
        self._seen: set[bytes] = set()

    def take(
        self, place: int, row: Row | Unreadable, record: Record | BadRow, loaded: list[Loaded]
    ) -> None:
        """Add one row of the source."""
        self.taken += 1
        if time.monotonic() - self._reported >= REPORT_SECONDS:
            self._report()
        try:
            rows = self._rows(record, loaded)
        except BadRow as error:
            self.first_reason = self.first_reason or error.reason
            self._reasons.append(error.reason)
            self._failed.append(_failed_row(self.source, place, row, record))
        else:
            for image in loaded:
                if isinstance(image, Inspected):
                    self.converted += image.converted
                    self.images.add_new(image)
            for made in rows:
                self._keep(made)
        if len(self._kept) + len(self._twice) + len(self._failed) >= BATCH:
            self.finish()

    def finish(self) -> None:
        """Write the collected rows."""
        for rows in (self._kept, self._twice, self._failed):
            if rows:
                self.writer.expect(self._table(rows))
        self.writer.keep(self._table(self._kept))
        if self._twice:
            reasons = ["same question, answer and images as a row before it"] * len(self._twice)
            self.writer.drop(self._table(self._twice), "duplicate", reasons)
        if self._failed:
            self.writer.fail(self._table(self._failed), self._reasons)
        self._kept, self._twice, self._failed, self._reasons = [], [], [], []
        self._report()

    def _report(self) -> None:
        self._reported = time.monotonic()
        report_progress(self.taken, self.total)
        counts = self.writer.ledger
        failed = counts.failed.total() + len(self._failed)
        kept = plural(counts.kept + len(self._kept), self.kind)
        self.progress(kept + (f", {failed:,} failed" if failed else ""))

    def notes(self, columns: Mapping[str, str]) -> list[str]:
        """What the user should know about the rows."""
        found = [hint for reason, hint in HINTS.items() if reason in self.writer.ledger.failed]
        if self.without_image and "images" not in columns:
            found.append("no column has images: all rows are text-only (--map images=COLUMN)")
        elif self.without_image:
            found.append(
                f"{self.without_image:,} rows have no image and are text-only (with --images required "
                "they fail)"
            )
        if self.without_gold:
            found.append(
                f"{self.without_gold:,} rows have no gold answer; sample them, then `vlt label` gives them "
                "the majority answer"
            )
        if self.bare_letters:
            found.append(
                f"{self.bare_letters:,} golds are option letters, but neither a column nor the question has "
                "the options (--map choices=COLUMN)"
            )
        return found

    def _rows(self, record: Record | BadRow, loaded: list[Loaded]) -> list[dict[str, Any]]:
        if isinstance(record, BadRow):
            raise record
        bad = next((image for image in loaded if isinstance(image, BadRow)), None)
        if bad:
            raise bad
        if not loaded and self.images_required:
            raise BadRow("no image")
        hashes = [
            i if isinstance(i, str) else i.sha256 for i in loaded if not isinstance(i, BadRow)
        ]
        item = sound_item(record, hashes, self.source, self.counted)
        return self._numbered.rows(self.kind, item, record.more)

    def _keep(self, made: dict[str, Any]) -> None:
        key = bytes.fromhex(made["id"])
        if self.kind != "sample" and key in self._seen:
            self._twice.append(made)
            return
        if key not in self._seen:
            self.without_image += not made["images"]
            self.bare_letters += not made["choices"] and is_letter(made["answer"] or "")
            self.without_gold += made["answer"] is None
        self._kept.append(made)
        self._seen.add(key)

    def _table(self, rows: list[dict[str, Any]]) -> pa.Table:
        return pa.Table.from_pylist(rows, self._schema)


def _failed_row(
    source: str, place: int, row: Row | Unreadable, record: Record | BadRow
) -> dict[str, Any]:
    """What is known of a row that is not a valid item; its id is a hash of its position and content."""
    raw = raw_text(row)
    known = record if isinstance(record, Record) else None
    text = f"failed\0{source}\0{place}\0{raw}"
    return {
        "id": hashlib.blake2b(text.encode(errors="replace"), digest_size=16).hexdigest(),
        "source": (known and known.source) or source,
        "question": known.question if known else None,
        "choices": known.choices if known else [],
        "answer": _shown(known.answer) if known else None,
        "answer_type": None,
        "images": [],
        "meta": json.dumps({"row": place + 1, "raw": raw}, ensure_ascii=True),
        "sample": 0,
    }


def _shown(answer: Any) -> str | None:
    return answer.encode(errors="replace").decode() if isinstance(answer, str) else None
