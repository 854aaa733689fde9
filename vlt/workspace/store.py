"""The workspace: versions of datasets and checkpoints, each immutable once its manifest is written.

    workspace/datasets/<name>/v<N>/     part-*.parquet: the kept rows, and nothing else
    workspace/provenance/<name>/v<N>/   manifest.json, dropped-*.parquet, lineage/ of a pulled one
    workspace/checkpoints/<name>/v<N>/  the model's files, manifest.json

Anything that loads a folder of Parquet (datasets, DuckDB, pandas, polars) can load a version's folder and
gets only the kept rows: most would also load dropped rows anywhere below it, and some fail on JSON files.
A version is built in a hidden folder and then renamed, its manifest last, so a reader sees a complete
version or none, and leftovers of a killed run are never taken for one. Versions of format 1, with all of
these files in one folder, can still be read.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import re
import shutil
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.errors import UsageError, UserError
from vlt.near_names import did_you_mean
from vlt.shared_disk import flock
from vlt.workspace.files import write_json
from vlt.workspace.manifest import ASKING, Manifest, Stage
from vlt.workspace.schema import KINDS
from vlt.workspace.schema import dropped as dropped_schema

if TYPE_CHECKING:
    import datasets
    import pandas as pd

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
FORMAT = 2
"""Format of the workspace's layout. Older formats can be read; newer ones are rejected."""
MANIFEST = "manifest.json"
PROVENANCE = "provenance"
ROWS = "rows"
"""Subfolder for rows in the folder where a dataset is built, beside PROVENANCE."""
REF = re.compile(r"(?P<name>[^@]+)(@(v(?P<version>\d+)|r(?P<round>\d+)))?")


class ParquetRows(ABC):
    """Rows in Parquet files, in order."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The Arrow schema of the rows."""

    @property
    @abstractmethod
    def files(self) -> list[Path]:
        """The Parquet files, in order; there may be none."""

    def batches(
        self, columns: Sequence[str] | None = None, size: int = 10_000
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most `size`, with `columns` or all.

        A column that an earlier release did not write is null.
        """
        for file in self.files:
            yield from read_batches(file, self.schema, columns, size)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows at once, for data that fits into memory."""
        schema = (
            self.schema if columns is None else pa.schema([self.schema.field(c) for c in columns])
        )
        return pa.Table.from_batches(list(self.batches(columns)), schema)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows as an Arrow table; images are given by sha256."""
        return self.table(columns)

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rows as a data frame; images are lists of sha256."""
        frame: pd.DataFrame = self.table(columns).to_pandas()
        return frame

    def sql(self, query: str) -> pd.DataFrame:
        """The result of a DuckDB query over the rows, as the table `rows`: "select ... from rows"."""
        from vlt.workspace.reading import sql

        return sql(self, query)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows one by one, as dicts; images are lists of sha256."""
        for batch in self.batches(columns):
            yield from batch.to_pylist()


def read_batches(
    file: Path,
    schema: pa.Schema,
    columns: Sequence[str] | None,
    size: int,
    groups: Sequence[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of one Parquet file, or of some of its row groups, in batches of at most `size`."""
    # With pre_buffer, the default, the whole file would stay in memory.
    with pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as opened:
        there = set(opened.schema_arrow.names)
        lacks = [f for f in schema if f.name not in there]
        lacks = [f for f in lacks if columns is None or f.name in columns]
        for batch in opened.iter_batches(batch_size=size, row_groups=groups, columns=columns):
            yield _with_nulls(batch, lacks, schema) if lacks else batch


def _with_nulls(
    batch: pa.RecordBatch, lacks: Sequence[pa.Field], schema: pa.Schema
) -> pa.RecordBatch:
    """The batch with these columns added as nulls, each in its place in the schema."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns |= {f.name: pa.nulls(batch.num_rows, f.type) for f in lacks}
    fields = [f for f in schema if f.name in columns]
    return pa.RecordBatch.from_arrays([columns[f.name] for f in fields], schema=pa.schema(fields))


@dataclass(frozen=True)
class Dropped(ParquetRows):
    """The rows of a version that were not kept: dropped by a filter, or failed.

    Besides the version's columns: `filter`, the one that dropped the row ("failed" if the stage could
    not make it), and `reason`.
    """

    version: Dataset

    @property
    def schema(self) -> pa.Schema:
        """The version's schema, with filter and reason."""
        return dropped_schema(self.version.schema)

    @property
    def files(self) -> list[Path]:
        """The Parquet files, in order; none if every row was kept."""
        return sorted(self.version.provenance.glob("dropped-*.parquet"))

    def __len__(self) -> int:
        return sum(pq.read_metadata(file).num_rows for file in self.files)


@dataclass(frozen=True)
class Dataset(ParquetRows):
    """One version of a dataset, or of a checkpoint (which has files but no rows)."""

    path: Path
    """The folder of the kept rows, or of the model's files."""
    manifest: Manifest
    provenance: Path
    """The folder of the manifest and the dropped rows; for a checkpoint, that of its files."""

    @property
    def ref(self) -> str:
        """name@vN"""
        return self.manifest.ref

    @property
    def kind(self) -> str:
        """item, caption, sample or checkpoint."""
        return self.manifest.kind

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the kept rows."""
        return KINDS[self.kind]

    @property
    def files(self) -> list[Path]:
        """The Parquet files of the kept rows, in order."""
        return sorted(self.path.glob("part-*.parquet"))

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return self.path.parents[2]

    def __len__(self) -> int:
        return self.manifest.rows

    def __bool__(self) -> bool:
        """True, even for a version without rows."""
        return True

    def to_hf(self) -> datasets.Dataset:
        """The rows as a `datasets.Dataset`, whose column `images` decodes to lists of PIL images."""
        from vlt.workspace.reading import to_hf

        return to_hf(self)

    def image(self, sha256: str) -> Any:
        """An image of the workspace as a PIL image in RGB; raises UserError if it does not exist."""
        from vlt.workspace.reading import image

        return image(self.root, sha256)

    def lineage(self) -> list[Dataset]:
        """The version and all its ancestors, each once, the version first."""
        from vlt.workspace.lineage import ancestors

        return [a.dataset for a in ancestors(Store(self.root), self) if not a.again]

    def _repr_html_(self) -> str:
        from vlt.workspace.reading import as_html

        return as_html(self)

    @property
    def dropped(self) -> Dropped:
        """The rows that were not kept, with the columns filter and reason."""
        return Dropped(self)

    @property
    def here(self) -> bool:
        """Whether the workspace has its files; of a pulled version's ancestors it may have only the
        manifests."""
        return (self.provenance / MANIFEST).is_file()


class Store:
    """Finds, lists and locks the versions of one workspace; the first version creates its folder."""

    def __init__(self, root: Path | str):
        self.root = Path(root)
        self._check_format()

    @property
    def images_folder(self) -> Path:
        """The folder of the image store."""
        return self.root / "images"

    @property
    def journal_file(self) -> Path:
        """The journal's file: VLT_JOURNAL, else one in the workspace."""
        return Path(os.environ.get("VLT_JOURNAL") or self.root / "journal.sqlite")

    def folder(self, kind: str) -> Path:
        """The folder with the versions of this kind."""
        return self.root / ("checkpoints" if kind == "checkpoint" else "datasets")

    def all(self) -> list[Dataset]:
        """Every complete version of datasets and checkpoints, oldest first."""
        return sorted(
            self._complete("*"),
            key=lambda d: (d.manifest.created, d.manifest.name, d.manifest.version),
        )

    def versions(self, name: str) -> list[Dataset]:
        """The complete versions of a name, oldest first; empty if there are none."""
        return sorted(self._complete(glob.escape(name)), key=lambda d: d.manifest.version)

    def _complete(self, names: str) -> Iterator[Dataset]:
        """The versions with a manifest and a folder of rows or files; `names` is a glob pattern."""
        for manifest in (self.root / PROVENANCE).glob(f"{names}/v*/{MANIFEST}"):
            provenance = manifest.parent
            path = self.folder("item") / provenance.parent.name / provenance.name
            if path.is_dir():
                yield Dataset(path, Manifest.read(manifest), provenance)
        for kind in ("item", "checkpoint"):  # datasets found here have format 1
            for manifest in self.folder(kind).glob(f"{names}/v*/{MANIFEST}"):
                yield Dataset(manifest.parent, Manifest.read(manifest), manifest.parent)

    def open(self, ref: str) -> Dataset:
        """The version named by `name`, `name@v3` or `name@r2`; raises UserError if there is none."""
        parsed = REF.fullmatch(ref)
        if not parsed or not NAME.fullmatch(parsed["name"]):
            raise UsageError(f"{ref!r} does not name a dataset; write name, name@v3 or name@r2")
        versions = self.versions(parsed["name"])
        if not versions:
            names = sorted({d.manifest.name for d in self.all()})
            known = (
                f"it has {', '.join(names)}" if names else "it is empty; see `vlt import --help`"
            )
            raise UserError(
                f"no dataset {parsed['name']!r} in workspace {str(self.root)!r}; "
                f"{did_you_mean(parsed['name'], names) or known}"
            )
        if parsed["version"]:
            versions = [d for d in versions if d.manifest.version == int(parsed["version"])]
        elif parsed["round"]:
            versions = [d for d in versions if d.manifest.round == int(parsed["round"])]
        if not versions:
            raise UserError(
                f"{parsed['name']!r} has no version {ref!r}; `vlt ls` lists the versions"
            )
        return versions[-1]

    def checkpoint_at(self, path: Path | str) -> Dataset | None:
        """The checkpoint of this workspace at `path`, if there is one."""
        manifest = Path(path) / MANIFEST
        inside = self.folder("checkpoint").resolve() in manifest.resolve().parents
        if not inside or not manifest.is_file():
            return None
        return Dataset(Path(path), Manifest.read(manifest), Path(path))

    def resolve_model(self, model: str) -> str:
        """The folder of the checkpoint that `model` names (name, name@v2); otherwise `model` itself."""
        if os.path.isdir(model) or model.startswith((".", "/", "~")):
            return model
        name = model.partition("@")[0]
        if "/" in name or not self.versions(name):
            return model
        found = self.open(model)
        if found.kind != "checkpoint":
            raise UsageError(
                f"{found.ref} holds {found.kind}s, not a model; `vlt ls` lists checkpoints"
            )
        return str(found.path)

    def newest(self, kind: str, command: str) -> Dataset:
        """The newest version of a kind; if there is none, the error names `command`, which makes one."""
        found = self.candidates(kind)
        if not found:
            raise UserError(
                f"no {kind}s in workspace {str(self.root)!r} yet; make them with `{command}`"
            )
        return found[-1]

    def candidates(self, kind: str, *, by_models: bool = False) -> list[Dataset]:
        """The versions of a kind that a command may use if no name is given, oldest first; with
        `by_models`, only those in which a model made or judged the rows.

        Benchmarks, and answers to them, are excluded: leaving out a name must never train on them.
        """
        found, aside = [], set[str]()
        for d in self.all():
            first = d.manifest.parents[:1]
            if d.manifest.facts.get("benchmark") or (first and first[0].ref in aside):
                aside.add(d.ref)
            elif d.kind == kind and (not by_models or d.manifest.stage.startswith(ASKING)):
                found.append(d)
        return found

    def find(self, name: str, stage: Stage, parents: Sequence[Dataset]) -> Dataset | None:
        """The version that this stage already made from these parents under this name."""
        identity = stage.identity([p.manifest.digest for p in parents])
        for version in reversed(self.versions(name)):
            if version.manifest.identity == identity:
                return version
        return None

    def next_version(self, name: str, kind: str) -> int:
        """One more than the newest; a number is never reused, even if its version is incomplete."""
        taken = [
            int(p.name[1:]) for p in (self.folder(kind) / name).glob("v*") if p.name[1:].isdigit()
        ]
        return max(taken, default=0) + 1

    @contextmanager
    def lock(self, name: str, kind: str) -> Iterator[None]:
        """Held while a version of `name` is written; the kernel frees it when the process dies."""
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is not a valid dataset name; use letters, digits, . _ and -"
            )
        for version in self.versions(name):
            if version.kind != kind:
                raise UsageError(
                    f"{name!r} already holds {version.kind}s ({version.ref}) and cannot also hold {kind}s; "
                    "choose another name"
                )
        file = self.folder(kind) / name / ".lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        self._write_format()
        with open(file, "a+") as opened:
            try:
                flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                opened.seek(0)
                raise UserError(
                    f"{name!r} is being written by another vlt (process {opened.read().strip()}); "
                    "wait for it, or write under another name"
                ) from None
            opened.truncate(0)
            opened.write(f"{os.getpid()} on {socket.gethostname()}\n")
            opened.flush()
            yield

    def publish(self, built: Path, manifest: Manifest) -> Dataset:
        """Write the manifest and rename the built folders to their final places.

        `built` is the model's folder; for a dataset, a folder with the subfolders ROWS and PROVENANCE.
        """
        number = f"v{manifest.version}"
        target = self.folder(manifest.kind) / manifest.name / number
        if manifest.kind == "checkpoint":
            manifest.write(built / MANIFEST)
            built.rename(target)
            return Dataset(target, manifest, target)
        provenance = self.root / PROVENANCE / manifest.name / number
        provenance.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(provenance, ignore_errors=True)  # of a version whose rows were deleted
        manifest.write(built / PROVENANCE / MANIFEST)
        (built / ROWS).rename(target)
        (built / PROVENANCE).rename(provenance)  # last: it makes the version complete
        return Dataset(target, manifest, provenance)

    def _check_format(self) -> None:
        file = self._format_file
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"workspace {str(self.root)!r} is a file; name a folder with -w")
        if file.exists():
            found: Any = json.loads(file.read_text()).get("format")
            if not isinstance(found, int) or found > FORMAT:
                raise UserError(
                    f"workspace {str(self.root)!r} has format {found}, but this vlt reads {FORMAT}; "
                    "update vlt or name another workspace with -w"
                )

    def _write_format(self) -> None:
        file = self._format_file
        if not file.exists() or json.loads(file.read_text())["format"] < FORMAT:
            write_json({"format": FORMAT}, file)

    @property
    def _format_file(self) -> Path:
        return self.root / "workspace.json"


def fresh_folder(path: Path) -> Path:
    """An empty folder at `path`; leftovers of a killed run are removed."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
