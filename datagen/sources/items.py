"""Writes a version of items from a source: every row is read, checked, and kept, dropped or failed.

make_items(store, Import(source="rows.jsonl", map={"question": "problem"}), name="items")

Captions and samples made elsewhere are imported in the same way (`kind`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from vlt.datagen.import_settings import Import
from vlt.datagen.sources.columns import choose_columns
from vlt.datagen.sources.formats.documents import forget_documents
from vlt.datagen.sources.gold import Counted
from vlt.datagen.sources.intake import Intake
from vlt.datagen.sources.layouts import Conversations, LaidOut, laid_out, like_images
from vlt.datagen.sources.load_on_cluster import with_images
from vlt.datagen.sources.locate import Source, open_source
from vlt.datagen.sources.own import MORE, NEEDS
from vlt.datagen.sources.placed import placed
from vlt.datagen.sources.record import BadRow, Record, Row, Unreadable, read_record
from vlt.datagen.sources.select import selected_places, whole_numbers
from vlt.errors import UserError
from vlt.images.store import ImageStore
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer

Chosen = Callable[[Mapping[str, str], Mapping[str, str]], None]
"""Called with the mapping of columns and the part of it that was guessed, before a row is read."""
COUNTING = {
    Counted.from_1: "integer answers are read as indices of choices counted from 1, since only then do "
    "all of them fit",
    Counted.texts: "integer answers are read as texts of choices, since as indices not all of them "
    "would fit",
}


def make_items(
    store: Store,
    what: Import | str,
    *,
    name: str | None = None,
    round: int | None = None,
    images: ImageStore | None = None,
    chosen: Chosen = lambda _, __: None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Dataset, bool]:
    """(the version of items, whether it existed already).

    `what` is the import's settings, or only the source; `name` is the dataset's, by default that of
    the kind (items, captions, samples); `images` is the workspace's image store, if the caller has it
    open; `progress` is called with the progress. Raises UserError if the source cannot be read or none
    of its rows is a valid item.
    """
    what = Import(source=what) if isinstance(what, str) else what
    name, kind = name or what.kind, what.row_kind
    opened, columns = in_its_layout(what, chosen)
    stage = Stage("import", _parameters(what, opened, columns))
    if found := store.find(name, stage, []):
        return found, True
    counted = whole_numbers(opened, columns)
    places = None
    if what.where or what.sample:
        places = selected_places(opened, columns, what, counted)
    with Writer(store, stage, name, kind, round=round, libraries=["pillow", "datasets"]) as writer:
        with nullcontext(images) if images else ImageStore(store.images_folder) as held:
            wanted = what.limit if places is None else len(places)
            total = _counted_rows(opened, kind, wanted)
            intake = Intake(opened.name, what, writer, held, counted, progress, total)
            records = read_records(
                opened, columns, places, what.limit, MORE[kind], unlabelled=what.unlabelled
            )
            for (place, row, record), loaded in with_images(
                records, held, private=what.private_urls
            ):
                intake.take(place, row, record, loaded)
            intake.finish()
            held.flush()  # before the version that refers to them is published
        if not writer.ledger.kept:
            raise UserError(_nothing(opened, writer, intake))
        notes = [*opened.notes, *intake.notes(columns)]
        if counted in COUNTING:
            notes.append(COUNTING[counted])
        writer.facts = {"converted_images": intake.converted, **opened.description}
        if notes:
            writer.facts["notes"] = notes
    forget_documents()
    return writer.dataset, False


def in_its_layout(what: Import, chosen: Chosen) -> tuple[Source, dict[str, str]]:
    """The source in its layout, and the mapping of columns."""
    kind = what.row_kind
    opened = open_source(
        what.source,
        split=what.split,
        config=what.config,
        revision=what.revision,
        folder=what.image_root,
        settings=what.settings,
    )
    opened = laid_out(opened, what.map, own_answer=kind != "item")
    needed = [name for name in NEEDS[kind] if name != "answer" or not what.unlabelled]
    options: dict[str, Any] = {"more": MORE[kind], "needed": needed}
    there = opened.columns()
    columns, guessed = choose_columns(there, what.map, opened.where, **options)
    if "images" not in columns and (like := like_images(opened, list(columns.values()))):
        options["like_images"] = like
        columns, guessed = choose_columns(there, what.map, opened.where, **options)
    opened, columns = placed(opened, columns)
    chosen({t: c for t, c in columns.items() if t != "images too"}, guessed)
    return opened, columns


def _parameters(what: Import, opened: Source, columns: Mapping[str, str]) -> dict[str, Any]:
    """Everything that decides the rows, and so belongs to the version's identity."""
    return {
        "source": opened.name,
        **opened.identity(columns),
        "columns": {t: c for t, c in columns.items() if t != "images too"},
        "limit": what.limit,
        "sample": what.sample,
        "seed": what.seed if what.sample is not None else None,
        "where": what.where,
        **({"kind": what.kind} if what.kind != "items" else {}),
        **({"unlabelled": True} if what.unlabelled else {}),
        **({"images": what.images} if what.images != "optional" else {}),
    }


def _counted_rows(source: Any, kind: str, wanted: int | None) -> int | None:
    """The number of rows to come, at most `wanted`, if it is known and each makes one row."""
    if kind == "sample" or isinstance(source, Conversations):
        return None
    origin = source.origin if isinstance(source, LaidOut) else source
    there: int | None = getattr(origin, "counted", None)
    return wanted if there is None else there if wanted is None else min(there, wanted)


def read_records(
    source: Source,
    columns: Mapping[str, str],
    places: set[int] | None,
    limit: int | None,
    more: tuple[str, ...],
    *,
    unlabelled: bool = False,
) -> Iterator[tuple[int, Row | Unreadable, Record | BadRow]]:
    """(position, row, its record or error) of the wanted rows: those at `places`, at most `limit`."""
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
            record = read_record(
                row,
                columns,
                source.folder,
                as_it_is=source.as_it_is,
                more=more,
                unlabelled=unlabelled,
            )
            yield place, row, record
        except BadRow as error:
            yield place, row, error


def _nothing(source: Source, writer: Writer, intake: Intake) -> str:
    """Why there is no version: the source has no rows, or none that is a valid item."""
    failed = writer.ledger.failed
    if not failed:
        return f"{source.where} gives no rows; check --where and --split"
    counts = Counter(failed).most_common(3)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts)
    example = f"; e.g. {intake.first_reason}" if intake.first_reason != counts[0][0] else ""
    return f"none of the {writer.ledger.rows_in:,} rows of {source.where} is a valid item: {reasons}{example}"
