"""A version for other libraries and notebooks: `datasets`, SQL, a table with pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlt.errors import UsageError
from vlt.images.decode import flattened, open_image
from vlt.images.store import ImageStore
from vlt.plural import plural
from vlt.workspace.features import embedded, features

if TYPE_CHECKING:
    import datasets
    import pandas as pd

    from vlt.workspace.store import Dataset, ParquetRows

SHOWN_ROWS, SHOWN_CHARACTERS, THUMBNAIL = 5, 160, 96
"""Limits of a notebook's table: rows, characters of a cell, pixels of a picture's longer side."""
FIRST = ("images", "question", "choices", "answer", "caption", "response", "verdict", "reason")
"""Columns of a notebook's table, in this order, if the version has them."""


def to_hf(dataset: Dataset) -> datasets.Dataset:
    """The rows as a `datasets.Dataset`, whose column `images` decodes to lists of PIL images.

    It is written once to the cache of `datasets`, where the same version is found again.
    """
    import datasets

    schema = embedded(dataset.schema)
    described = datasets.Features.from_dict(features(list(schema)))
    return datasets.Dataset.from_generator(
        _with_bytes,
        features=described,
        gen_kwargs={
            "files": [str(file) for file in dataset.files],
            "images": str(dataset.root / "images"),
            "digest": dataset.manifest.digest,  # part of the cache key
        },
    )


def _with_bytes(files: list[str], images: str, digest: str) -> Iterator[dict[str, Any]]:  # noqa: ARG001
    import pyarrow.parquet as pq

    with ImageStore(images, read_only=True) as store:
        for file in files:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(batch_size=500):
                    for row in batch.to_pylist():
                        row["images"] = [
                            {"bytes": flattened(store.read(sha256)), "path": None}
                            for sha256 in row["images"]
                        ]
                        yield row


def sql(rows: ParquetRows, query: str) -> pd.DataFrame:
    """The result of a DuckDB query over the rows, as the table `rows`; raises UsageError if it is invalid."""
    import duckdb

    with duckdb.connect() as connection:
        try:
            if rows.files:
                connection.read_parquet([str(file) for file in rows.files]).create_view("rows")
            else:
                connection.register("rows", rows.schema.empty_table())
            return connection.sql(query).df()
        except duckdb.Error as error:
            words = " ".join(str(error).split("\n\n")[0].split())
            raise UsageError(
                f"the query {query!r} failed ({words}); the table is called rows, and its columns are "
                f"{', '.join(rows.schema.names)}"
            ) from None


def image(root: Path, sha256: str) -> Any:
    """An image of the workspace as a PIL image in RGB; raises UserError if it does not exist."""
    with ImageStore(root / "images", read_only=True) as store:
        return open_image(store.read(sha256))


def as_html(dataset: Dataset) -> str:
    """A small table of the first rows with their pictures, and the counts of the others."""
    m = dataset.manifest
    dropped = sum(sum(reasons.values()) for reasons in m.dropped.values())
    failed = sum(m.failed.values())
    counts = [plural(m.rows, m.kind) if m.kind != "checkpoint" else "checkpoint"]
    counts += [f"{dropped:,} dropped"] * bool(dropped) + [f"{failed:,} failed"] * bool(failed)
    head = (
        f"<p><b>{html.escape(dataset.ref)}</b> · {', '.join(counts)} · {html.escape(m.stage)}</p>"
    )
    if m.kind == "checkpoint":
        return head + f"<p><code>{html.escape(str(dataset.path))}</code></p>"
    names = [name for name in FIRST if name in dataset.schema.names]
    first = next(dataset.batches(names, size=SHOWN_ROWS), None)
    rows = first.to_pylist() if first is not None else []
    with ImageStore(dataset.root / "images", read_only=True) as store:
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(row[n], n, store)}</td>" for n in names) + "</tr>"
            for row in rows
        )
    columns = "".join(f"<th>{name}</th>" for name in names)
    more = f"<p>and {m.rows - len(rows):,} more rows</p>" if m.rows > len(rows) else ""
    return f"{head}<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: Any, name: str, store: ImageStore) -> str:
    if name == "images":
        return " ".join(_thumbnail(store.read(sha256)) for sha256 in value)
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return html.escape(cut)


def _thumbnail(data: bytes) -> str:
    picture = open_image(data)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return f'<img src="data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}">'
