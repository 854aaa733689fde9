"""Writes one version of a dataset: rows kept, rows dropped with their reason, and the manifest last.

    with Writer(store, stage, "captions", "caption", [items]) as writer:
        for batch in items.batches():
            writer.expect(batch)
            writer.keep(captioned)          # what the stage made of it
            writer.fail(rest, reasons)      # what it could not
    writer.dataset                          # the new version

If the body raises, nothing of the version stays.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlt import __version__
from vlt.errors import UserError
from vlt.workspace.manifest import Ledger, Manifest, Parent, Stage
from vlt.workspace.progress import report_progress, tracked
from vlt.workspace.reason import Reason, count_kinds, text_of
from vlt.workspace.schema import ADDED, KEYS, KINDS, dropped
from vlt.workspace.store import PROVENANCE, ROWS, Dataset, Store, fresh_folder

FAILED = "failed"
"""In the column `filter` of a dropped row that no filter took out: the stage could not make it."""
ROWS_A_FILE = 500_000
REPEATED = (
    "source answer answer_type choices.list.element images.list.element caption_model predicted "
    "caption_finish_reason finish_reason model verdict verdict_reason filter reason"
).split()
"""Columns that get a dictionary; of long texts it would only be a second copy in memory."""
ROW_GROUP = 1_000
"""Small enough that a writer of long responses holds some megabytes of them, not a hundred."""


class Writer(AbstractContextManager["Writer"]):
    """One writer per name at a time (the store's lock); the version appears when the body ends."""

    dataset: Dataset
    """The new version, once the `with` block has ended without an error."""

    def __init__(
        self,
        store: Store,
        stage: Stage,
        name: str,
        kind: str,
        parents: Sequence[Dataset] = (),
        *,
        round: int | None = None,
        libraries: Sequence[str] = (),
    ):
        self.store, self.stage, self.name, self.kind = store, stage, name, kind
        self.parents, self.round, self.libraries = list(parents), round, libraries
        self.ledger = Ledger()
        self.rewritten: Counter[str] = Counter()
        self.facts: dict[str, Any] = {}
        self.received: Manifest | None = None
        """Of a version that was made elsewhere and is brought here: it stays, but for its number."""
        self.money: float | None = None
        self._tokens = Counter[str]()
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        schema, root = KINDS[self.kind], self.store.root
        with ExitStack() as opened:
            opened.enter_context(self.store.lock(self.name, self.kind))
            opened.enter_context(tracked(root, self.name, self.kind, self.stage.name, self._rows()))
            self.version = self.store.next_version(self.name, self.kind)
            self.folder = fresh_folder(self.store.folder(self.kind) / self.name / ".building")
            opened.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.provenance = fresh_folder(self.folder / PROVENANCE)
            self._kept = _Files(fresh_folder(self.folder / ROWS), "part", schema)
            opened.callback(self._kept.close)
            self._dropped = _Files(self.provenance, "dropped", dropped(schema))
            opened.callback(self._dropped.close)
            self._opened = opened.pop_all()
        return self

    def expect(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Rows that came in: their key columns (see schema.KEYS), as the new version will hold them."""
        self.ledger.expect(self._keys(rows))
        # Where models are asked the answers are counted (vlt.datagen.generate).
        if not self.stage.name.startswith(("gen ", "judge")):
            report_progress(self.ledger.rows_in)

    def keep(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Rows of the version; columns of its schema that are missing are null."""
        rows = _conform(rows, KINDS[self.kind])
        self._kept.write(rows)
        self.ledger.settle(self._keys(rows))
        self.ledger.kept += rows.num_rows

    def drop(
        self, rows: pa.RecordBatch | pa.Table, filter: str, reasons: Sequence[Reason | str]
    ) -> None:
        """Rows that `filter` takes out, with one reason each."""
        counts = self.ledger.dropped.setdefault(filter, Counter())
        count_kinds(counts, reasons)
        self._write_dropped(rows, filter, reasons)

    def fail(self, rows: pa.RecordBatch | pa.Table, reasons: Sequence[Reason | str]) -> None:
        """Rows that the stage could not make, with one reason (the error) each."""
        count_kinds(self.ledger.failed, reasons)
        self._write_dropped(rows, FAILED, reasons)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._opened.__exit__(kind, error, trace)
            return
        with self._opened:
            self._finish()

    def _finish(self) -> None:
        self._kept.close()
        self._dropped.close()
        self.ledger.check()
        parents = [
            Parent(p.manifest.name, p.manifest.version, p.manifest.digest) for p in self.parents
        ]
        manifest = Manifest(
            name=self.name,
            version=self.version,
            kind=self.kind,
            stage=self.stage.name,
            parameters=dict(self.stage.parameters),
            parents=parents,
            identity=self.stage.identity([p.digest for p in parents]),
            digest=self._kept.digest.hexdigest(),
            created=now(),
            round=self.round,
            rows_in=self.ledger.rows_in,
            rows=self.ledger.kept,
            dropped={name: dict(counts) for name, counts in self.ledger.dropped.items()},
            failed=dict(self.ledger.failed),
            rewritten=dict(self.rewritten),
            prompt_tokens=self._tokens["prompt_tokens"],
            completion_tokens=self._tokens["completion_tokens"],
            money=self.money,
            seconds=round(time.monotonic() - self._started, 3),
            versions=library_versions(self.libraries),
            facts=self.facts,
        )
        if self.received:
            if manifest.digest != self.received.digest:
                raise UserError(
                    f"{self.received.ref} arrived with other rows than its manifest says (digest "
                    f"{manifest.digest[:12]}, not {self.received.digest[:12]})"
                )
            manifest = replace(
                self.received, name=self.name, version=self.version, round=self.round
            )
        self.dataset = self.store.publish(self.folder, manifest)

    def count_tokens(self, prompt: int, completion: int, money: float | None = None) -> None:
        """Tokens that answers took, and the dollars where a price is known.

        Each request counts once: its samples share its prompt, though every row says it.
        """
        self._tokens.update(prompt_tokens=prompt, completion_tokens=completion)
        if money is not None:
            self.money = (self.money or 0.0) + money

    def _write_dropped(
        self, rows: pa.RecordBatch | pa.Table, filter: str, reasons: Sequence[Reason | str]
    ) -> None:
        assert len(reasons) == rows.num_rows, "one reason for each row"
        rows = _conform(rows, KINDS[self.kind])
        self.ledger.settle(self._keys(rows))
        rows = rows.append_column("filter", pa.array([filter] * rows.num_rows, pa.string()))
        texts = pa.array(list(map(text_of, reasons)), pa.string())
        self._dropped.write(rows.append_column("reason", texts))

    def _rows(self) -> int | None:
        """Rows that are to come, where the parents tell."""
        same = [p.manifest.rows for p in self.parents if p.kind == self.kind]
        return sum(same) or None

    def _keys(self, rows: pa.RecordBatch | pa.Table) -> pa.RecordBatch | pa.Table:
        return rows.select(list(KEYS[self.kind]))


class _Files:
    """Parquet files `<stem>-00000.parquet`, ... and the digest of all rows written to them."""

    def __init__(self, folder: Path, stem: str, schema: pa.Schema):
        self.folder, self.stem, self.schema = folder, stem, schema
        self.digest = hashlib.sha256(str([n for n in schema.names if n not in ADDED]).encode())
        self._writer: pq.ParquetWriter | None = None
        self._held: list[pa.Table] = []
        self._held_rows = self._file_rows = self._number = 0

    def write(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._held.append(rows)
            self._held_rows += rows.num_rows
        if self._held_rows >= ROW_GROUP:
            table = pa.concat_tables(self._held)
            whole = table.num_rows - table.num_rows % ROW_GROUP
            self._write_groups(table.slice(0, whole))
            self._held, self._held_rows = [table.slice(whole)], table.num_rows - whole

    def close(self) -> None:
        if self._held_rows or (self._number == 0 and self.stem == "part"):
            held = pa.concat_tables(self._held) if self._held else self.schema.empty_table()
            self._held, self._held_rows = [], 0
            self._write_groups(held)
        if self._writer:
            self._writer.close()
            self._writer = None

    def _write_groups(self, rows: pa.Table) -> None:
        rows = rows.combine_chunks()
        for start in range(0, max(1, rows.num_rows), ROW_GROUP):
            group = rows.slice(start, ROW_GROUP)
            _digest_rows(self.digest, group)
            if self._writer is None or self._file_rows >= ROWS_A_FILE:
                self._open_next()
            assert self._writer is not None
            self._writer.write_table(group, row_group_size=ROW_GROUP)
            self._file_rows += group.num_rows

    def _open_next(self) -> None:
        if self._writer:
            self._writer.close()
        file = self.folder / f"{self.stem}-{self._number:05d}.parquet"
        self._writer = pq.ParquetWriter(
            file,
            self.schema,
            use_dictionary=list(REPEATED),  # ignores those that this schema lacks
            compression="zstd",
            compression_level=1,
        )
        self._number, self._file_rows = self._number + 1, 0


def _digest_rows(digest: Any, group: pa.Table) -> None:
    """Feed a row group's values into the digest, apart from how Parquet or Arrow lay them out."""
    empty = [n for n in ADDED if n in group.schema.names and _holds_nothing(group.column(n))]
    group = group.drop_columns(empty)
    # A slice drags its neighbours' bytes along in its buffers; rows that are taken stand alone.
    alone = group.take(pa.array(range(group.num_rows), pa.int64())).combine_chunks()
    for batch in alone.to_batches():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        digest.update(sink.getvalue())


def _holds_nothing(column: pa.ChunkedArray) -> bool:
    """All null, or lists without an element."""
    if column.null_count == len(column):
        return True
    return pa.types.is_list(column.type) and not pc.max(pc.list_value_length(column)).as_py()


def _conform(rows: pa.RecordBatch | pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows as a table of exactly this schema; missing columns are null, others left out."""
    rows = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    names = set(rows.schema.names)
    columns = [
        rows.column(f.name).cast(f.type) if f.name in names else pa.nulls(rows.num_rows, f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def library_versions(libraries: Sequence[str]) -> dict[str, str]:
    """{"vlt": ..., library: installed version}; a library that is not installed is left out."""
    found = {"vlt": __version__}
    for library in ("pyarrow", *libraries):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
