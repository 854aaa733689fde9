"""A stage, its identity, and the manifest of its result.

The identity covers what affects the rows: the stage's name, its parameters and the *content* digests of
its parents. Where it ran, how fast and on which server is not part of it and is not recorded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.errors import UserError
from vlt.workspace.digest import parameters_digest
from vlt.workspace.files import write_json

FORMAT = 1
"""Format of the manifest; newer formats are rejected."""


ASKING = ("gen ", "judge")
"""Prefixes of the names of stages that ask models."""


@dataclass(frozen=True)
class Stage:
    """What is done to the parents' rows."""

    name: str
    """As on the command line: "gen captions", "filter", "train sft"."""
    parameters: Mapping[str, Any]
    """Everything that can affect the rows, as JSON: model identity, prompt, sampling, filter settings."""

    def identity(self, parents: Sequence[str]) -> str:
        """The digest of stage, parameters and the parents' content digests, in their order."""
        return parameters_digest([self.name, dict(self.parameters), list(parents)])


@dataclass
class Ledger:
    """Counts the rows that come in and how each leaves; `check` verifies that none is lost or duplicated.

    The check is by key, in constant memory: a row's key is hashed to 64 bits, and the sums of the
    hashes coming in and going out must agree, as must the counts.
    """

    rows_in: int = 0
    kept: int = 0
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    _sum: int = 0

    def expect(self, keys: pa.RecordBatch | pa.Table) -> None:
        """Count rows that come in; only the key columns are read."""
        self.expect_sum(keys.num_rows, key_sum(keys))

    def expect_sum(self, rows: int, keys: int) -> None:
        """Count `rows` rows that come in, with the `key_sum` of their keys."""
        self.rows_in += rows
        self._sum += keys

    def settle(self, keys: pa.RecordBatch | pa.Table) -> None:
        """Count rows that go out, in whichever way (the caller counts which)."""
        self._sum -= key_sum(keys)

    def check(self) -> None:
        """Raises AssertionError if rows are missing, which is a bug in the stage, not a user's mistake."""
        out = self.kept + sum(c.total() for c in self.dropped.values()) + self.failed.total()
        assert self.rows_in == out and self._sum % 2**64 == 0, (
            f"rows in {self.rows_in} are not rows kept {self.kept}, dropped {self.dropped} and "
            f"failed {self.failed}: the stage lost, invented or repeated a row"
        )


def key_sum(keys: pa.RecordBatch | pa.Table) -> int:
    """Sum of 64-bit hashes of (id, sample), without Python code per row; a kind may have no sample."""
    if not keys.num_rows:
        return 0
    ids = keys.column("id")
    hashed = _hashed_ids(ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids)
    if "sample" in keys.schema.names:
        sample = keys.column("sample").to_numpy(zero_copy_only=False).astype(np.uint64)
        hashed = hashed + (sample + np.uint64(1)) * np.uint64(0xC2B2AE3D27D4EB4F)
    hashed = hashed ^ (hashed >> np.uint64(29))
    return int((hashed * np.uint64(0xBF58476D1CE4E5B9)).sum(dtype=np.uint64))


def _hashed_ids(ids: pa.StringArray) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """[rows] a hash of each id, independent of the other ids."""
    offsets = np.frombuffer(ids.buffers()[1], np.int32)[ids.offset :][: len(ids) + 1]
    ours = np.diff(offsets) == 32  # item_id: 32 hexadecimal digits
    if not ours.all():  # ids not made by vlt
        import pandas as pd

        mask = pa.array(ours)
        hashed = np.empty(len(ids), np.uint64)
        hashed[ours] = _hashed_ids(ids.filter(mask)) if ours.any() else 0
        others = ids.filter(pc.invert(mask)).to_numpy(zero_copy_only=False)
        hashed[~ours] = pd.util.hash_array(others, categorize=False)
        return hashed
    letters = np.frombuffer(ids.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    weights = np.array([3, 5, 7, 11], np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words = letters.view(np.uint64).reshape(-1, 4)
    return (words * weights).sum(axis=1, dtype=np.uint64)


@dataclass
class Parent:
    """A version from which another was made."""

    name: str
    version: int
    digest: str

    @property
    def ref(self) -> str:
        """name@vN"""
        return f"{self.name}@v{self.version}"


@dataclass
class Manifest:
    """What a version is and how it was made; written last, so it exists only for a complete one."""

    name: str
    version: int
    kind: str
    """item, caption, sample or checkpoint."""
    stage: str
    parameters: dict[str, Any]
    parents: list[Parent]
    identity: str
    digest: str
    """Digest of the content: the rows in their order, or the model's files."""
    created: str
    """UTC, ISO 8601."""
    round: int | None = None
    """The round of a recipe that first made it."""
    rows_in: int = 0
    rows: int = 0
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    """filter -> reason -> rows."""
    failed: dict[str, int] = field(default_factory=dict)
    """reason -> rows."""
    rewritten: dict[str, int] = field(default_factory=dict)
    """filter -> rows whose text it changed."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float | None = None
    seconds: float = 0.0
    """Wall time of the run that finished it."""
    versions: dict[str, str] = field(default_factory=dict)
    """Package -> version, for vlt and the libraries relevant to this stage."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Results that are not part of the identity: metrics of a training, accuracy of an evaluation."""
    format: int = FORMAT

    @property
    def ref(self) -> str:
        """name@vN"""
        return f"{self.name}@v{self.version}"

    def write(self, file: Path) -> None:
        """Write it as JSON, atomically."""
        write_json(asdict(self), file, indent=1)

    @classmethod
    def read(cls, file: Path) -> Manifest:
        """Read it from JSON; raises UserError if a newer vlt wrote it."""
        fields = json.loads(file.read_text())
        if fields["format"] > FORMAT:
            raise UserError(
                f"{file} was written by a newer vlt (format {fields['format']}, this one reads "
                f"{FORMAT}); update vlt"
            )
        fields["parents"] = [Parent(**parent) for parent in fields["parents"]]
        return cls(**fields)
