"""Sources on this machine: JSONL, JSON, CSV, Parquet, and folders that hold one of them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from vlt.datagen.sources.arrow_values import python_rows
from vlt.datagen.sources.record import BadRow, ImageFile, Row, Unreadable, image_refs
from vlt.errors import UsageError, UserError

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
MAX_LINE = 64 << 20
PEEK = 1_000
"""Rows looked at for the columns of a file without a schema."""
BATCH_BYTES = 16 << 20


class FileSource:
    """Rows of one or several files of one kind; image paths are relative to `folder`."""

    def __init__(self, name: str, files: Sequence[Path], folder: Path):
        self.name, self.files = name, list(files)
        self.folder: Path | None = folder
        self.where = f"{str(self.files[0])!r}"
        self.description: dict[str, Any] = {}

    def columns(self) -> list[str]:
        """The names of the columns; raises UserError where nothing can be read."""
        if self._ending == ".parquet":
            return list(_open_parquet(self.files[0]).schema_arrow.names)
        seen: dict[str, None] = {}
        first: Unreadable | None = None
        for _, row in zip(range(PEEK), self.rows(), strict=False):
            if isinstance(row, Unreadable):
                first = first or row
            else:
                seen.update(dict.fromkeys(row))
        if not seen and first:
            raise UserError(f"{self.where} holds no rows that can be read ({first.reason})")
        if not seen:
            raise UserError(f"{self.where} is empty; there is nothing to import")
        return list(seen)

    def rows(self, leave_out: Sequence[str] = ()) -> Iterator[Row | Unreadable]:
        """The rows, in order; columns of Parquet that are in `leave_out` are not read."""
        for file in self.files:
            if self._ending == ".parquet":
                yield from _parquet_rows(file, leave_out)
            elif self._ending == ".json":
                yield from _json_rows(file)
            elif self._ending in (".csv", ".tsv"):
                yield from _csv_rows(file, "\t" if self._ending == ".tsv" else ",")
            else:
                yield from _jsonl_rows(file)

    def identity(self, columns: Mapping[str, str]) -> dict[str, Any]:
        """The digest of the files, and of names, sizes and times of the images they refer to."""
        digest = hashlib.sha256()
        for file in self.files:
            with open(file, "rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        for image in self._image_files(columns):
            try:
                stat = os.stat(image.path)
                state = f"{stat.st_size}\0{stat.st_mtime_ns}"
            except OSError:
                state = "missing"
            digest.update(f"{image.shown}\0{state}\n".encode(errors="replace"))
        return {"digest": digest.hexdigest()}

    @property
    def _ending(self) -> str:
        return self.files[0].suffix.lower()

    def _image_files(self, columns: Mapping[str, str]) -> Iterator[ImageFile]:
        column = columns["images"]
        if self._ending == ".parquet" and not _may_be_paths(
            _open_parquet(self.files[0]).schema_arrow.field(column).type
        ):
            return
        for row in self.rows():
            if isinstance(row, Unreadable) or row.get(column) is None:
                continue
            try:
                found = image_refs(row[column], self.folder)
            except BadRow:
                continue
            yield from (image for image in found if isinstance(image, ImageFile))


def open_path(path: Path, split: str | None, folder: Path | None) -> FileSource:
    """The source that a file or a folder is; `folder` is where image paths begin, if elsewhere.

    Raises UserError and UsageError, one sentence each.
    """
    files, base, name = ([path], path.parent, path.stem) if path.is_file() else _in(path, split)
    if path.is_file() and split:
        raise UsageError(f"{str(path)!r} is one file and has no splits; leave out --split")
    ending = files[0].suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(
            f"{str(path)!r} is none of {', '.join(ENDINGS)}; convert it to one of them"
        )
    for file in files:
        if not file.stat().st_size:
            raise UserError(f"{str(file)!r} is empty; there is nothing to import")
    return FileSource(name, files, (folder or base).absolute())


def _in(path: Path, split: str | None) -> tuple[list[Path], Path, str]:
    """(files, where image paths begin, name) of a folder: image folder, Parquet shards or one file."""
    name = path.absolute().name
    for place in (path / split, path) if split else (path, path / "train"):
        for metadata in METADATA:
            if (place / metadata).is_file() and (place != path or not split):
                return [place / metadata], place, name
    shards = sorted(path.glob("*.parquet")) or sorted(path.rglob("*.parquet"))
    if shards:
        return _of_split(shards, path, split), path, name
    found = [f for ending in ENDINGS for f in sorted(path.glob(f"*{ending}"))]
    if split:
        found = [f for f in found if f.stem == split]
    if len(found) == 1:
        return found, path, name
    if found:
        raise UsageError(
            f"folder {str(path)!r} holds several files of rows ({', '.join(f.name for f in found)}); "
            "name one of them"
        )
    raise UserError(
        f"folder {str(path)!r} has no metadata.jsonl, metadata.csv or Parquet files"
        + (f" of split {split!r}" if split else "")
        + "; an image folder needs a metadata file with file_name, question and answer"
    )


def _of_split(shards: list[Path], path: Path, split: str | None) -> list[Path]:
    """The shards of one split, whose names start with it as the Hub has them (train-00000-of-2)."""
    splits: dict[str, list[Path]] = {}
    for shard in shards:
        inner = shard.relative_to(path).parts
        named = shard.stem.split("-")[0]
        known = [p for p in inner[:-1] if p in ("train", "test", "validation")]
        splits.setdefault(known[0] if known else named, []).append(shard)
    if split is None and len(splits) == 1:
        return shards
    wanted = split or "train"
    if wanted not in splits:
        raise UsageError(
            f"folder {str(path)!r} has the splits {', '.join(splits)}; name one: --split"
        )
    return splits[wanted]


def _jsonl_rows(file: Path) -> Iterator[Row | Unreadable]:
    with open(file, "rb") as opened:
        number = 0
        while line := opened.readline(MAX_LINE):
            number += 1
            if not line.endswith(b"\n") and len(line) == MAX_LINE:
                start = line[:200]
                while (more := opened.readline(MAX_LINE)) and not more.endswith(b"\n"):
                    pass
                reason = f"line is too long (line {number}, more than {MAX_LINE:,} bytes)"
                yield Unreadable(start.decode(errors="replace"), reason)
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _json_row(line, number)


def _json_row(line: bytes, number: int) -> Row | Unreadable:
    try:
        row = orjson.loads(line)
    except ValueError as error:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return Unreadable(line[:4000].decode(errors="replace"), f"not UTF-8 (line {number})")
        try:
            row = json.loads(text)  # takes the NaN that Python writes
        except (ValueError, RecursionError):
            words = str(error).split(":")[0]
            return Unreadable(text[:4000], f"broken JSON (line {number}: {words})")
    if not isinstance(row, dict):
        reason = f"no JSON object (line {number} is a {type(row).__name__})"
        return Unreadable(line[:4000].decode(errors="replace"), reason)
    return row


def _json_rows(file: Path) -> Iterator[Row | Unreadable]:
    """A list of objects in one file, as LLaVA-like data have it; or JSONL under another name."""
    with open(file, "rb") as opened:
        start = opened.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start != b"[":
        yield from _jsonl_rows(file)
        return
    try:
        rows = json.loads(file.read_bytes())
    except UnicodeDecodeError:
        raise UserError(f"{str(file)!r} is not UTF-8; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{str(file)!r} is broken JSON ({error}); mend it, or write JSONL"
        ) from None
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            yield row
        else:
            yield Unreadable(str(row)[:4000], f"no JSON object (number {number})")


def _csv_rows(file: Path, delimiter: str) -> Iterator[Row | Unreadable]:
    csv.field_size_limit(MAX_LINE)
    with open(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
        reader = csv.reader(opened, delimiter=delimiter)
        header = next(reader, [])
        if len(set(header)) != len(header) or not any(header):
            raise UserError(f"the first line of {str(file)!r} does not name its columns, each once")
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield Unreadable("", f"broken CSV (line {reader.line_num}: {error})")
                continue
            if cells is None:
                return
            if cells:
                yield _csv_row(header, cells, reader.line_num)


def _csv_row(header: list[str], cells: list[str], line: int) -> Row | Unreadable:
    text = io.StringIO()
    if len(cells) != len(header):
        csv.writer(text).writerow(cells)
        shown = text.getvalue().encode(errors="replace").decode()[:4000]
        return Unreadable(shown, f"wrong number of cells (line {line}: {len(cells)})")
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        shown = ",".join(cells)[:4000].encode(errors="replace").decode()
        return Unreadable(shown, f"not UTF-8 (line {line})")
    return {name: cell or None for name, cell in zip(header, cells, strict=True)}


def _open_parquet(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, buffer_size=1 << 20)
    except (pa.ArrowException, OSError) as error:
        words = str(error).split("\n")[0]
        raise UserError(f"{str(file)!r} is no Parquet file ({words})") from None


def _parquet_rows(file: Path, leave_out: Sequence[str]) -> Iterator[Row | Unreadable]:
    with _open_parquet(file) as opened:
        columns = [n for n in opened.schema_arrow.names if n not in leave_out]
        meta = opened.metadata
        size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        rows = max(1, min(1_000, math.floor(BATCH_BYTES / max(1, size / max(1, meta.num_rows)))))
        try:
            for group in range(meta.num_row_groups):  # all at once, Arrow would hold on to many
                for batch in opened.iter_batches(rows, row_groups=[group], columns=columns):
                    yield from python_rows(batch)
        except (pa.ArrowException, OSError) as error:
            words = str(error).split("\n")[0]
            raise UserError(f"{str(file)!r} is damaged ({words}); fetch it again") from None


def _may_be_paths(type: pa.DataType) -> bool:
    """Whether cells may name files; images with their bytes beside the path are not looked up."""
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return _may_be_paths(type.value_type)
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))
