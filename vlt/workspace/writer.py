"""Writes one version of a dataset: kept rows, dropped rows with their reasons, and the manifest last.

    with Writer(store, stage, "captions", "caption", [items]) as writer:
        for batch in items.batches():
            writer.expect(batch)
            writer.keep(captioned)          # the rows that the stage made
            writer.fail(rest, reasons)      # the rows that failed
    writer.dataset                          # the new version

If the body raises, nothing of the version remains.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from vlt import __version__
from vlt.errors import UserError
from vlt.workspace.manifest import ASKING, Ledger, Manifest, Parent, Stage, key_sum
from vlt.workspace.progress import report_progress, tracked
from vlt.workspace.reason import Reason, count_kinds, text_of
from vlt.workspace.row_files import RowFiles
from vlt.workspace.row_group import Mask, only
from vlt.workspace.schema import KEYS, KINDS, dropped
from vlt.workspace.store import PROVENANCE, ROWS, Dataset, Store, fresh_folder

FAILED = "failed"
"""The value of the column `filter` for a row that no filter dropped: the stage could not make it."""


class Writer(AbstractContextManager["Writer"]):
    """One writer per name at a time (the store's lock); the version is published when the body ends."""

    dataset: Dataset
    """The new version, after the `with` block has ended without an error."""

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
        """The manifest of a version made elsewhere, for a pull; it is kept, except for its number."""
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
            rows = fresh_folder(self.folder / ROWS)
            self._kept = RowFiles(rows, "part", schema, digested=True)
            opened.callback(self._kept.abandon)
            self._dropped = RowFiles(self.provenance, "dropped", dropped(schema), digested=False)
            opened.callback(self._dropped.abandon)
            self._opened = opened.pop_all()
        return self

    def expect(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Count rows that come in, by their key columns (see schema.KEYS) as in the new version."""
        self.expect_sum(rows.num_rows, key_sum(self._keys(rows)))

    def expect_sum(self, rows: int, keys: int) -> None:
        """Count `rows` rows that come in, with the `key_sum` of their key columns."""
        self.ledger.expect_sum(rows, keys)
        # For stages that ask models, progress counts the answers (vlt.datagen.generate).
        if not self.stage.name.startswith(ASKING):
            report_progress(self.ledger.rows_in)

    def keep(self, rows: pa.RecordBatch | pa.Table, where: Mask | None = None) -> None:
        """Add rows of the version; missing columns of its schema become null.

        With `where` [rows], only those for which it is true; they are read when they are written, so
        `rows` should be mapped from a file, which is needed until `flush`.
        """
        rows = _conform(rows, KINDS[self.kind])
        self._kept.write(rows, where)
        keys = only(self._keys(rows), where)
        self.ledger.settle(keys)
        self.ledger.kept += keys.num_rows

    def drop(
        self,
        rows: pa.RecordBatch | pa.Table,
        filter: str,
        reasons: Sequence[Reason | str],
        where: Mask | None = None,
    ) -> None:
        """Add rows that `filter` drops, with one reason each; `where` as in `keep`."""
        counts = self.ledger.dropped.setdefault(filter, Counter())
        count_kinds(counts, reasons)
        self._write_dropped(rows, filter, reasons, where)

    def fail(self, rows: pa.RecordBatch | pa.Table, reasons: Sequence[Reason | str]) -> None:
        """Add rows that the stage could not make, with one reason (the error) each."""
        count_kinds(self.ledger.failed, reasons)
        self._write_dropped(rows, FAILED, reasons)

    def flush(self) -> None:
        """Wait until all rows are written."""
        self._kept.flush()
        self._dropped.flush()

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
            digest=self._kept.digest(),
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
                    f"the rows of {self.received.ref} do not match its manifest (digest "
                    f"{manifest.digest[:12]}, not {self.received.digest[:12]}); push it again"
                )
            manifest = replace(
                self.received, name=self.name, version=self.version, round=self.round
            )
        self.dataset = self.store.publish(self.folder, manifest)

    def count_tokens(self, prompt: int, completion: int, money: float | None = None) -> None:
        """Add the tokens of answers, and the dollars if a price is known.

        Each request counts once: its samples share its prompt, although every row has its token count.
        """
        self._tokens.update(prompt_tokens=prompt, completion_tokens=completion)
        if money is not None:
            self.money = (self.money or 0.0) + money

    def _write_dropped(
        self,
        rows: pa.RecordBatch | pa.Table,
        filter: str,
        reasons: Sequence[Reason | str],
        where: Mask | None = None,
    ) -> None:
        rows = _conform(rows, KINDS[self.kind])
        keys = only(self._keys(rows), where)
        assert len(reasons) == keys.num_rows, "one reason per row"
        self.ledger.settle(keys)
        texts = pa.array(list(map(text_of, reasons)), pa.string())
        if where is not None:
            texts = pc.replace_with_mask(pa.nulls(len(where), pa.string()), pa.array(where), texts)
        rows = rows.append_column("filter", pa.array([filter] * rows.num_rows, pa.string()))
        self._dropped.write(rows.append_column("reason", texts), where)

    def _rows(self) -> int | None:
        """The number of rows to come, if known from the parents."""
        same = [p.manifest.rows for p in self.parents if p.kind == self.kind]
        return sum(same) or None

    def _keys(self, rows: pa.RecordBatch | pa.Table) -> pa.RecordBatch | pa.Table:
        return rows.select(list(KEYS[self.kind]))


def _conform(rows: pa.RecordBatch | pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows as a table with exactly this schema; missing columns are null, others are left out."""
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
