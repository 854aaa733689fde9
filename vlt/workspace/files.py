"""Files that are written atomically: to a temporary file beside their place, then renamed.

    with replaced(folder / "rows.parquet") as part:
        pq.write_table(table, part)

A reader sees the old file, or the complete new one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any

from vlt.shared_disk import flock

NAME_CHARACTERS = 60
"""Characters of the file's name in the part's name: file systems allow 255 bytes."""


@contextmanager
def replaced(file: Path, *, durable: bool = False) -> Iterator[Path]:
    """A path to write to, which replaces `file` when the body ends without an error.

    The path is hidden, so that readers of the folder do not take it for data, and it is removed if the body
    raises. What a killed process leaves is overwritten by the next one; two processes that write the
    same file at once have a part each, and the later one wins. With `durable` the content is synced to
    disk before the file is replaced.
    """
    part, held = _own_part(file)
    with held:
        try:
            yield part
            if durable:
                os.fsync(held.fileno())
            part.replace(file)
        except BaseException:
            with suppress(OSError):  # the disk may be the cause, and that error must be raised
                part.unlink()
            raise
    if durable:
        _sync_folder(file.parent)


def write_text(text: str, file: Path) -> None:
    """Write a text in UTF-8."""
    with replaced(file) as part:
        part.write_text(text, encoding="utf-8")


def write_json(value: Any, file: Path, *, indent: int | None = None) -> None:
    """Write one JSON value, with a newline at its end."""
    write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", file)


def _own_part(file: Path) -> tuple[Path, FileIO]:
    """An empty file beside `file` that no other process writes to: we hold its lock."""
    for number in count():
        ending = f".{number}.part" if number else ".part"
        part = file.with_name(f".{file.name[:NAME_CHARACTERS]}{ending}")
        held = FileIO(part, "ab")
        try:
            flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            continue
        if _is_at(held, part):
            held.truncate(0)
            return part, held
        held.close()  # its writer has just renamed it
        return _own_part(file)
    raise AssertionError("count() has no end")


def _is_at(held: FileIO, part: Path) -> bool:
    """Whether the open file is still at that path."""
    try:
        return os.path.samestat(os.fstat(held.fileno()), part.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
