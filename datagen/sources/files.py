"""Local sources: a file, the files that match a pattern, or a folder."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.datagen.sources.folders import Found, look_into
from vlt.datagen.sources.formats import ENDINGS, Format, ending_of, format_of, stem_of
from vlt.datagen.sources.formats.documents import document, json_rows
from vlt.datagen.sources.formats.parquet import open_parquet
from vlt.datagen.sources.images_of import image_refs
from vlt.datagen.sources.paths import Folders, ImageFile
from vlt.datagen.sources.record import images_cell
from vlt.datagen.sources.row import BadRow, Row, Unreadable
from vlt.datagen.sources.shards import in_order, missing_parts
from vlt.errors import UsageError, UserError

PEEK = 1_000
"""Rows read to find the columns of a file without a schema."""
ITEM_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


class FileSource:
    """Rows of one or several files of one format."""

    as_it_is = False

    def __init__(self, name: str, files: Sequence[Path], folder: Folders, split: str | None = None):
        self.name, self.files, self.split = name, list(files), split
        self.folder: Folders | None = folder
        self.where = f"{str(self.files[0])!r}"
        self.description: dict[str, Any] = {}
        self.counted: int | None = None
        """Number of rows, if known: from the files' footers, or once `identity` has read all of them."""
        missing = missing_parts(self.files)
        self.notes = [f"{self.where}: {missing}"] if missing else []
        if len(self.files) > 1:
            self.notes.append(f"{len(self.files):,} files, {files[0].name} to {files[-1].name}")

    def columns(self) -> list[str]:
        """The names of the columns; raises UserError if nothing can be read."""
        if columns_of := self._format.columns:
            return columns_of(self.files[0])
        seen: dict[str, None] = {}
        first: Unreadable | None = None
        for _, row in zip(range(PEEK), self.rows(), strict=False):
            if isinstance(row, Unreadable):
                first = first or row
            else:
                seen.update(dict.fromkeys(row))
        if not seen and first:
            raise UserError(f"{self.where} has no readable rows ({first.reason})")
        if not seen:
            raise UserError(f"{self.where} is empty; there is nothing to import")
        return list(seen)

    def rows(self, leave_out: Sequence[str] = ()) -> Iterator[Row | Unreadable]:
        """The rows, in order; Parquet columns in `leave_out` are not read."""
        for file in self.files:
            if self.split is not None:
                yield from json_rows(file, self.split)
            else:
                format = format_of(file)
                assert format is not None, "only readable files are taken"
                yield from format.rows(file, leave_out)

    def identity(
        self, columns: Mapping[str, str], rows: Iterable[Row | Unreadable] | None = None
    ) -> dict[str, Any]:
        """The digest of the files, and of names, sizes and times of the images that they refer to.

        `rows` are the rows after a layout has changed them, if one has.
        """
        digest = hashlib.sha256()
        for file in self.files:
            with open(file, "rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        for image in self._image_files(columns, self.rows() if rows is None else rows):
            digest.update(f"{image.shown}\0{state_of(image)}\n".encode(errors="replace"))
        part = {"split": self.split} if self.split is not None else {}
        return {"digest": digest.hexdigest(), **part}

    @property
    def _format(self) -> Format:
        format = format_of(self.files[0])
        assert format is not None, "only readable files are taken"
        return format

    def _image_files(
        self, columns: Mapping[str, str], rows: Iterable[Row | Unreadable]
    ) -> Iterator[ImageFile]:
        column = columns.get("images")
        if column is None or ending_of(self.files[0]) == ".tar":
            return
        if ending_of(self.files[0]) == ".parquet":
            self.counted = sum(open_parquet(file).metadata.num_rows for file in self.files)
            schema = open_parquet(self.files[0]).schema_arrow
            if column in schema.names and not _may_be_paths(schema.field(column).type):
                return
        counted = 0
        for row in rows:
            counted += 1
            if isinstance(row, Unreadable):
                continue
            try:
                found = image_refs(images_cell(row, columns), self.folder)
            except BadRow:
                continue
            yield from (image for image in found if isinstance(image, ImageFile))
        self.counted = counted


class ItemFiles(FileSource):
    """A folder in which each JSON file is one row; an image of the same name beside it is its image."""

    def columns(self) -> list[str]:
        """The keys of the files' objects."""
        return list(
            dict.fromkeys(n for _, r in zip(range(PEEK), self._all(), strict=False) for n in r)
        )

    def rows(self, leave_out: Sequence[str] = ()) -> Iterator[Row | Unreadable]:  # noqa: ARG002
        """A row for each file, in the order of their names; a broken file is Unreadable."""
        for file in self.files:
            try:
                rows = document(file)
            except UserError as error:
                yield Unreadable(file.name, f"broken JSON ({file.name}: {error})")
                continue
            yield from (self._placed(file, row) for row in rows if isinstance(row, dict))

    def _all(self) -> Iterator[Row]:
        return (row for row in self.rows() if not isinstance(row, Unreadable))

    def _placed(self, file: Path, row: dict[str, Any]) -> Row:
        """The row with image paths relative to the folder of all files."""
        assert self.folder is not None
        below = os.path.relpath(file.parent, self.folder.roots[-1])
        placed = {"id": stem_of(file) if below == "." else f"{below}/{stem_of(file)}", **row}
        for name, value in row.items():
            if isinstance(value, str) and len(value) < 500 and (file.parent / value).is_file():
                placed[name] = os.path.normpath(os.path.join(below, value))
        beside = [e for e in ITEM_IMAGES if file.with_name(stem_of(file) + e).is_file()]
        if beside and "image" not in placed:
            placed["image"] = os.path.normpath(os.path.join(below, stem_of(file) + beside[0]))
        return placed


def open_path(
    path: Path,
    split: str | None,
    folder: Path | None,
    config: str | None = None,
    *,
    above: Path | None = None,
) -> FileSource:
    """The source for a file or a folder; `folder` is the root of image paths, if not its own.

    `above` is a folder above it, to which image paths may also be relative.

    Raises UserError or UsageError if it cannot be read as a source.
    """
    if path.is_file():
        return _one_file(path, split, folder, config)
    found = look_into(path, split, config)
    return _source(path.absolute().name, found, path, folder, above=above)


def open_pattern(pattern: str, split: str | None, folder: Path | None) -> FileSource | None:
    """The files that match a pattern (`data/*.jsonl`), as one source; None if there are none."""
    matched = [Path(p) for p in glob.glob(pattern, recursive=True)]
    files = in_order([p for p in matched if p.is_file() and not p.name.startswith(".")])
    if not files:
        return None
    if split:
        raise UsageError(f"{pattern!r} is a pattern and has no splits; leave out --split")
    for file in files:
        if format_of(file) is None or ending_of(file) != ending_of(files[0]):
            raise UsageError(
                f"{pattern!r} matches both {str(file)!r} and {str(files[0])!r}; a pattern must match "
                f"files of one format: {', '.join(ENDINGS)}"
            )
    base = Path(os.path.commonpath([file.parent.absolute() for file in files]))
    name = Path(pattern.split("*")[0].split("?")[0].rstrip("/-_.") or ".").absolute().name
    return _source(name, Found(files, base), base, folder)


def _one_file(path: Path, split: str | None, folder: Path | None, config: str | None) -> FileSource:
    if config:
        raise UsageError(f"{str(path)!r} is one file; leave out --config")
    if format_of(path) is None:
        raise UsageError(
            f"{str(path)!r} is not one of {', '.join(ENDINGS)} (also .gz, .bz2, .xz, .zst); convert "
            "it to one of them"
        )
    if split and ending_of(path) != ".json":
        raise UsageError(f"{str(path)!r} is one file and has no splits; leave out --split")
    found = Found([path], path.parent)
    return _source(stem_of(path), found, path.parent, folder, split)


def _source(
    name: str,
    found: Found,
    named: Path,
    folder: Path | None,
    split: str | None = None,
    *,
    above: Path | None = None,
) -> FileSource:
    for file in found.files:
        if not file.stat().st_size:
            raise UserError(f"{str(file)!r} is empty; there is nothing to import")
    beside = found.files[0].parent if len({f.parent for f in found.files}) == 1 else None
    folders = Folders.of(folder, found.base, beside, named if named.is_dir() else None, above)
    if found.one_item_each:
        return ItemFiles(name, found.files, Folders.of(folder, found.base))
    return FileSource(name, found.files, folders, split)


def state_of(image: ImageFile) -> str:
    """Size and modification time of the file, wherever it is found."""
    for path in (image.path, None):
        path = path or image.elsewhere()
        try:
            stat = os.stat(path or "")
        except OSError:
            continue
        return f"{stat.st_size}\0{stat.st_mtime_ns}"
    return "missing"


def _may_be_paths(type: pa.DataType) -> bool:
    """Whether cells may be file names; images stored as bytes with a path are not looked up."""
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return _may_be_paths(type.value_type)
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))
