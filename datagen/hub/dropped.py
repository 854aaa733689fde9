"""Push and pull of the dropped rows.

They are stored beside the data, so that `load_dataset("user/repo")` gives only the kept rows:
`vlt/<split>/dropped-*.parquet` as in the workspace (images as sha256, with the columns filter and reason),
and `vlt/<split>/images-*.parquet` with those of their images that no kept row has, and with the original
transparent images of kept rows, which are on white in the data.
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
    """The path of a split's dropped rows in a repository; `name` is one of the files."""
    return f"vlt/{split}/{name}"


def picture_shards(
    dataset: Dataset,
    images: ImageStore,
    folder: Path,
    changed: Collection[str] = (),
    size: int = SHARD_BYTES,
) -> Iterator[Path]:
    """Write images-00000.parquet, ... one after the other, and yield each when it is complete.

    `changed` are the images whose bytes in the data differ from the store's. The same version always gives
    the same files.
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
    """The distinct images of dropped rows that no kept row has, in order."""
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
    """Pass the rows of a dropped-*.parquet to the writer, each with its filter and reason, in order."""
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
    """Raises UserError unless every row that the manifest counts has arrived."""
    assert writer.received, "only a pulled version has a manifest beforehand"
    said, ledger = writer.received, writer.ledger
    # By filter, not by reason: the reason in a row includes details that the ledger's does not.
    taken_out = [
        {name: sum(reasons.values()) for name, reasons in counts.items() if reasons}
        for counts in (said.dropped, ledger.dropped)
    ]
    wanted = (said.rows_in, said.rows, taken_out[0], sum(said.failed.values()))
    if wanted != (ledger.rows_in, ledger.kept, taken_out[1], ledger.failed.total()):
        raise UserError(
            f"{repo!r} does not have all rows of {said.ref}: its manifest counts {said.rows_in:,} "
            f"({said.rows:,} kept), but {ledger.rows_in:,} arrived ({ledger.kept:,} kept); push it again"
        )
