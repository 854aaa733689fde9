"""The rows that filters took out, on their way to the Hub and back.

They lie beside the data and not among it, so `load_dataset("user/repo")` gives the kept rows alone:
`vlt/<split>/dropped-*.parquet` as the workspace has them (images by their sha256, with the columns filter and
reason), and `vlt/<split>/images-*.parquet` with those of their images that no kept row shows, and with the
transparent ones of the kept rows, which stand on white in the data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.datagen.export.cells import image_name
from vlt.datagen.export.files import BATCH, SHARD_BYTES
from vlt.errors import UserError
from vlt.images.store import ImageStore
from vlt.workspace.features import IMAGE
from vlt.workspace.store import Dataset
from vlt.workspace.writer import FAILED, Writer

GROUP_BYTES = 16 << 20
PICTURES = pa.schema([("sha256", pa.string()), ("image", IMAGE)])


def dropped_path(split: str, name: str = "") -> str:
    """Where the files of a split's dropped rows lie in a repository; `name` is one of them."""
    return f"vlt/{split}/{name}"


def picture_shards(
    dataset: Dataset,
    images: ImageStore,
    folder: Path,
    changed: Collection[str] = (),
    size: int = SHARD_BYTES,
) -> Iterator[Path]:
    """Write images-00000.parquet, ... one after the other, and yield each when it is whole.

    `changed` are the images that the data hold as other bytes. The same version always gives the same
    files.
    """
    number = 0
    names = iter([*sorted(changed), *_only_dropped(dataset)])
    name = next(names, None)
    while name is not None:
        file = folder / f"images-{number:05d}.parquet"
        number += 1
        with pq.ParquetWriter(file, PICTURES, compression="none", use_dictionary=False) as writer:
            written = 0
            while name is not None and written < size:
                group: list[dict[str, Any]] = []
                held = 0
                while name is not None and held < GROUP_BYTES:
                    cell = {"bytes": images.read(name), "path": image_name(images, name)}
                    group.append({"sha256": name, "image": cell})
                    held += images.info(name).bytes
                    name = next(names, None)
                writer.write_table(pa.Table.from_pylist(group, PICTURES))
                written += held
        yield file


def _only_dropped(dataset: Dataset) -> list[str]:
    """The images of dropped rows that no kept row has, each once, in order."""
    kept = {
        bytes.fromhex(sha256)
        for batch in dataset.batches(["images"], size=BATCH)
        for sha256 in batch.column("images").flatten().to_pylist()
    }
    found: dict[str, None] = {}
    for batch in dataset.dropped.batches(["images"], size=BATCH):
        for sha256 in batch.column("images").flatten().to_pylist():
            if bytes.fromhex(sha256) not in kept:
                found[sha256] = None
    return list(found)


def take_dropped(writer: Writer, file: Path) -> None:
    """Give the writer the rows of a dropped-*.parquet, each with what took it out, in order."""
    with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(BATCH):
            rows = pa.Table.from_batches([batch])
            reasons: Sequence[str] = rows.column("reason").to_pylist()
            start = 0
            for filter, run in groupby(rows.column("filter").to_pylist()):
                length = len(list(run))
                part, why = rows.slice(start, length), reasons[start : start + length]
                writer.expect(part)
                if filter == FAILED:
                    writer.fail(part, why)
                else:
                    writer.drop(part, filter, why)
                start += length


def check_conserved(writer: Writer, repo: str) -> None:
    """Every row that the manifest counts has arrived; raises UserError where one is missing."""
    assert writer.received, "only what was pulled has a manifest beforehand"
    said, ledger = writer.received, writer.ledger
    # By filter and not by reason: a row says its reason in words, of which the kind is a part.
    taken_out = [
        {name: sum(reasons.values()) for name, reasons in counts.items() if reasons}
        for counts in (said.dropped, ledger.dropped)
    ]
    wanted = (said.rows_in, said.rows, taken_out[0], sum(said.failed.values()))
    if wanted != (ledger.rows_in, ledger.kept, taken_out[1], ledger.failed.total()):
        raise UserError(
            f"{repo!r} does not hold all rows of {said.ref}: its manifest counts {said.rows_in:,} "
            f"({said.rows:,} kept), and {ledger.rows_in:,} came ({ledger.kept:,} kept); push it again"
        )
