"""A person's marks on rows: one small table, `flags.parquet`, in the workspace.

    id, sample, model   the row; sample and model are null for all rows of the item
    mark                flag or accept
    note, dataset, at   why; in which version it was seen; when (UTC)

The file is replaced as a whole: a reader (DuckDB too) sees the old table or the new one, and a killed
process leaves only a hidden file behind. Writers wait for each other.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.errors import UserError
from vlt.shared_disk import flock
from vlt.workspace.files import replaced

FLAGS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("sample", pa.int32()),
        ("model", pa.string()),
        ("mark", pa.string()),
        ("note", pa.string()),
        ("dataset", pa.string()),
        ("at", pa.string()),
    ]
)
MARKS = ("flag", "accept")
Key = tuple[str, int | None, str | None]


@dataclass(frozen=True)
class Flag:
    """One mark on one row. A response is identified by its item, its number and its model, which no
    filter changes, so rewriting a response does not lose its flag."""

    id: str
    sample: int | None
    model: str | None
    mark: str
    note: str = ""
    dataset: str = ""
    at: str = ""

    @property
    def key(self) -> Key:
        """(id, sample, model)"""
        return self.id, self.sample, self.model


class Flags:
    """The flags of one workspace; reading does not create the file."""

    def __init__(self, root: Path | str):
        self.file = Path(root) / "flags.parquet"

    def all(self) -> list[Flag]:
        """Every mark, oldest first; raises UserError if the file is not such a table."""
        try:
            rows = pq.read_table(self.file).to_pylist()
            return [Flag(**row) for row in rows]
        except FileNotFoundError:
            return []
        except (pa.ArrowInvalid, TypeError) as error:
            raise UserError(
                f"{self.file} is not a table of flags ({error}); move it away to start over"
            ) from None

    def of(self, row_id: str) -> dict[Key, Flag]:
        """The marks on the rows of one item."""
        return {flag.key: flag for flag in self.all() if flag.id == row_id}

    def put(self, flag: Flag) -> None:
        """Store a mark, replacing an earlier one on the same row; on disk when this returns."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._writing():
            kept = [asdict(old) for old in self.all() if old.key != flag.key]
            self._write([*kept, {**asdict(flag), "at": at}])

    def remove(self, key: Key) -> None:
        """Remove the mark of a row, if it has one."""
        with self._writing():
            self._write([asdict(old) for old in self.all() if old.key != key])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time, over all processes; the kernel frees the lock of one that dies."""
        try:
            lock = open(self.file.with_name(".flags.lock"), "a")  # noqa: SIM115
        except OSError as error:
            raise UserError(
                f"marks cannot be stored in {str(self.file)!r} ({error.strerror}); "
                "make the workspace writable"
            ) from error
        with lock:
            flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, rows: list[dict[str, object]]) -> None:
        with replaced(self.file, durable=True) as part:
            pq.write_table(pa.Table.from_pylist(rows, schema=FLAGS), part)
