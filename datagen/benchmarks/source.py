"""A benchmark as a source of items: from the Hub, or from a local copy."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlt.datagen.benchmarks.catalog import Benchmark
from vlt.datagen.benchmarks.items_of import item_row
from vlt.datagen.sources.paths import Folders
from vlt.datagen.sources.row import BadRow, Row, Unreadable, raw_text
from vlt.errors import UsageError

COLUMNS = ("source", "question", "choices", "answer", "images", "meta")
RULES = 1
"""Version of the rules of items_of.py; a new number makes new items, and a new version."""


class BenchmarkSource:
    """Items of one benchmark; no row is lost, even if two ask the same about the same image.

    HallusionBench asks some questions three times, and MathVerse's versions may coincide: such items
    would be identical, so the second gets the source `name#2`.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        settings: Mapping[str, Any],
        *,
        split: str | None = None,
        config: str | None = None,
        revision: str | None = None,
        folder: Path | None = None,
    ):
        unknown = settings.keys() - {"path"}
        if unknown:
            raise UsageError(
                f"benchmark {benchmark.name!r} has no setting {sorted(unknown)[0]!r}; it has path "
                "(of a copy)"
            )
        if (split or benchmark.split) != benchmark.split or config not in (None, benchmark.config):
            raise UsageError(
                f"benchmark {benchmark.name!r} is the split {benchmark.split!r} of {benchmark.repo}"
                + (f", configuration {benchmark.config!r}" if benchmark.config else "")
                + "; leave out --split and --config, or import the dataset by its Hub id"
            )
        self.benchmark, self.name = benchmark, benchmark.name
        self.origin = _origin(benchmark, settings.get("path"), revision, folder)
        self.where = self.origin.where
        self.folder: Folders | None = self.origin.folder
        self.notes: list[str] = self.origin.notes
        self.description: dict[str, Any] = {
            "license": benchmark.license,
            "hub": benchmark.repo,
            "benchmark": benchmark.name,
        }

    as_it_is = True

    def columns(self) -> list[str]:
        """The columns of an item."""
        return list(COLUMNS)

    def rows(self, leave_out: Sequence[str] = ()) -> Iterator[Row | Unreadable]:
        """The rows as records of items; what cannot be converted is Unreadable, with the reason."""
        seen = Counter[bytes]()
        for row in self.origin.rows(self.benchmark.images if "images" in leave_out else ()):
            if isinstance(row, Unreadable):
                yield row
                continue
            try:
                record = item_row(self.benchmark, row)
            except BadRow as error:
                yield Unreadable(raw_text(row), error.reason)
                continue
            key = _key(record)
            seen[key] += 1
            if seen[key] > 1:
                record["source"] = f"{self.name}#{seen[key]}"
            yield {name: value for name, value in record.items() if name not in leave_out}

    def identity(self, columns: Mapping[str, str]) -> dict[str, Any]:
        """Its origin, and the version of the conversion rules."""
        there = self.origin.columns()
        image = next((name for name in self.benchmark.images if name in there), None)
        if image is None:
            raise UsageError(
                f"{self.where} has no column {self.benchmark.images[0]!r}, so it is not "
                f"{self.name}; it has {', '.join(there)}"
            )
        return {**self.origin.identity({**columns, "images": image}), "benchmark": RULES}


def _key(record: Mapping[str, Any]) -> bytes:
    """A 16-byte digest of the item's content."""
    digest = hashlib.blake2b(digest_size=16)
    for part in ("question", "choices", "answer"):
        digest.update(f"{record[part]!r}\0".encode(errors="surrogatepass"))
    for image in record["images"]:
        data = image.get("bytes") or image.get("path") if isinstance(image, Mapping) else image
        digest.update(data if isinstance(data, bytes) else repr(data).encode())
    return digest.digest()


def _origin(
    benchmark: Benchmark, path: str | None, revision: str | None, folder: Path | None
) -> Any:
    if path is None:
        from vlt.datagen.sources.repository import HubSource

        if folder:
            raise UsageError(
                f"benchmark {benchmark.name!r} has its images on the Hub; leave out --image-root, or "
                "name a copy with --path"
            )
        return HubSource(benchmark.repo, benchmark.split, benchmark.config, revision)
    from vlt.datagen.sources.copies import open_copy

    if revision:
        raise UsageError(f"{path!r} is a copy and has no revisions; leave out --revision")
    return open_copy(
        f"benchmark {benchmark.name!r}", path, benchmark.split, benchmark.config, folder
    )
