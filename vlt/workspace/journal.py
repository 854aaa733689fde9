"""The journal: every completion that has arrived, so that no answer is paid for twice.

One SQLite file in WAL mode, shared by all processes that work in a workspace. On a disk shared by hosts (see
vlt.shared_disk) only one process at a time can use it, since hosts do not share the memory that WAL needs.
A completion is committed when `put` returns (about 30 microseconds), so a killed process loses nothing that
has arrived; only a power failure can lose the last moments (synchronous=NORMAL), without corrupting the file.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vlt.errors import UserError
from vlt.request import Completion
from vlt.shared_disk import kept_alone, shared_by_hosts

FORMAT = 1
"""`PRAGMA user_version` of the file; a journal of a newer vlt is rejected."""
BUSY_SECONDS = 60
"""How long a write waits for other processes' writes, which take microseconds each."""
KEYS_A_QUERY = 500

# Rows are stored in order of arrival, with a small index: a table clustered by the random key would
# split a page of long texts at every insert.
_TABLE = """
CREATE TABLE IF NOT EXISTS completions (
    key BLOB NOT NULL,
    sample INTEGER NOT NULL,
    response TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    arrived TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    prompts INTEGER,
    PRIMARY KEY (key, sample)
)"""
# Batches sent to a Batch API whose answers have not been read yet; see vlt.engine.batch.
_BATCHES = """
CREATE TABLE IF NOT EXISTS batches (
    token TEXT PRIMARY KEY,
    server TEXT NOT NULL,
    id TEXT,
    samples BLOB NOT NULL,
    opened TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)"""
_SAMPLE = struct.Struct(">16sI")
_COLUMNS = "key, sample, response, finish_reason, prompt_tokens, completion_tokens, prompts"
_OPEN_AND_CLOSE = "instr(response, '<think>') AS open, instr(response, '</think>') AS close"


class Journal:
    """Completions by (request key, sample); see vlt.request.request_key for what the key covers."""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._shared = shared_by_hosts(self.path.parent)
        try:
            wait = 0 if self._shared else BUSY_SECONDS
            self._db = sqlite3.connect(self.path, timeout=wait, isolation_level=None)
            with kept_alone(self._db, self._shared):
                self._prepare()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _prepare(self) -> None:
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found > FORMAT:
            raise UserError(
                f"journal {str(self.path)!r} was written by a newer vlt (format {found}, this one "
                f"reads {FORMAT}); update vlt"
            )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(_TABLE)
        self._db.execute(_BATCHES)
        if not self._has_prompts():
            self._db.execute("BEGIN IMMEDIATE")  # another process may be about to do the same
            if not self._has_prompts():
                self._db.execute("ALTER TABLE completions ADD COLUMN prompts INTEGER")
            self._db.execute("COMMIT")
        if found < FORMAT:
            self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def _has_prompts(self) -> bool:
        """False for a file from before prompts were counted, which an older vlt may still use."""
        return "prompts" in {row[1] for row in self._db.execute("PRAGMA table_info(completions)")}

    def put(self, completion: Completion, *, again: bool = False) -> None:
        """Record one completion; of two for the same sample the first is kept, or with `again` the last.

        Raises UserError if the disk is full or the file cannot be written.
        """
        c = completion
        values = (
            c.key,
            c.sample,
            c.response,
            c.finish_reason,
            c.prompt_tokens,
            c.completion_tokens,
            c.prompts,
        )
        self._change(
            f"INSERT OR {'REPLACE' if again else 'IGNORE'} INTO completions ({_COLUMNS}) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def get(self, key: bytes, samples: Iterable[int]) -> dict[int, Completion]:
        """The recorded samples of one request among `samples`, by index."""
        wanted = set(samples)
        return {c.sample: c for c in self.read([key]) if c.sample in wanted}

    def read(self, keys: Sequence[bytes]) -> Iterator[Completion]:
        """Everything recorded for these requests, in no particular order."""
        for row in self._select(_COLUMNS, keys):
            yield Completion(*row)

    def samples(self, keys: Sequence[bytes]) -> dict[bytes, set[int]]:
        """Which samples are recorded for these requests (from the index alone, without the texts)."""
        found: dict[bytes, set[int]] = {}
        for key, sample in self._select("key, sample", keys):
            found.setdefault(key, set()).add(sample)
        return found

    def thoughts(self, keys: Sequence[bytes]) -> tuple[int, int]:
        """Finished answers of these requests: (all, those that close a thought but do not open one)."""
        whole = inside = 0
        query = f"finish_reason, {_OPEN_AND_CLOSE}"
        for reason, opened, closed in self._select(query, keys):
            whole += reason != "length"
            inside += reason != "length" and closed > 0 and not 0 < opened < closed
        return whole, inside

    def open_batch(self, token: str, server: str, samples: Iterable[tuple[bytes, int]]) -> None:
        """Record a batch that is about to be created, with the (key, sample) pairs that it requests."""
        packed = b"".join(_SAMPLE.pack(key, sample) for key, sample in samples)
        self._change(
            "INSERT INTO batches (token, server, samples) VALUES (?, ?, ?)", (token, server, packed)
        )

    def name_batch(self, token: str, id: str) -> None:
        """Record the id under which the server has created it."""
        self._change("UPDATE batches SET id = ? WHERE token = ?", (id, token))

    def end_batch(self, token: str) -> None:
        """Forget a batch: its answers are recorded, or it was never created."""
        self._change("DELETE FROM batches WHERE token = ?", (token,))

    def batches(self, server: str) -> list[tuple[str, str | None, list[tuple[bytes, int]]]]:
        """(token, id, samples) of the open batches of a server, oldest first."""
        rows = self._db.execute(
            "SELECT token, id, samples FROM batches WHERE server = ? ORDER BY rowid", (server,)
        )
        return [(token, id, list(_SAMPLE.iter_unpack(samples))) for token, id, samples in rows]

    def count(self) -> int:
        """The number of completions."""
        (count,) = self._db.execute("SELECT count(*) FROM completions").fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file; the last process to close it merges the WAL into it."""
        self._db.close()

    def _change(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _select(self, columns: str, keys: Sequence[bytes]) -> Iterator[tuple]:  # type: ignore[type-arg]
        for start in range(0, len(keys), KEYS_A_QUERY):
            some = keys[start : start + KEYS_A_QUERY]
            marks = ", ".join("?" * len(some))
            query = f"SELECT {columns} FROM completions WHERE key IN ({marks})"
            try:
                yield from self._db.execute(query, some)
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> UserError:
        if self._shared and "locked" in str(error):
            return UserError(
                f"journal {str(self.path)!r} is on a disk shared by hosts ({self._shared}) and in use by "
                "another vlt, here or on another host; wait for it, or set VLT_JOURNAL to a file on a "
                "local disk"
            )
        advice = {
            "SQLITE_FULL": "make room on the disk and run the same command again",
            "SQLITE_NOTADB": "it is not a journal; move it away",
        }.get(getattr(error, "sqlite_errorname", ""), "check that the folder is writable")
        return UserError(f"journal {str(self.path)!r} cannot be used ({error}); {advice}")
