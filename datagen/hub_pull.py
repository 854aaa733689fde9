"""Brings back from the Hub what `vlt push` sent: rows, images, manifest and lineage.

pull_dataset(store, "user/repo")
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datagen.hub import SHARD, lineage_path, manifest_path
from datagen.hub_calls import Say, check_repo, persistently
from vlt.errors import UserError
from vlt.images import BadImage, ImageStore
from vlt.lineage import LINEAGE as LINEAGE_FOLDER
from vlt.stage import Manifest, Stage
from vlt.store import Dataset, Store, fresh_folder
from vlt.writer import Writer


def pull_dataset(
    store: Store,
    repo: str,
    *,
    name: str | None = None,
    revision: str | None = None,
    split: str = "train",
    say: Say = lambda _: None,
) -> tuple[Dataset, bool]:
    """(the version, whether it was here already). Raises UserError for what is no version of vlt's."""
    from huggingface_hub import HfApi

    check_repo(repo)
    api = HfApi()
    info = persistently(lambda: api.dataset_info(repo, revision=revision), repo, say)
    paths = [sibling.rfilename for sibling in info.siblings or []]
    if manifest_path(split) not in paths:
        raise UserError(
            f"{repo!r} has no split {split!r} that vlt pushed; take its rows with `vlt import {repo}`"
        )
    folder = fresh_folder(store.root / ".pull" / str(info.sha)[:16])

    def fetch(path: str) -> Path:
        def once() -> str:
            return api.hf_hub_download(
                repo, path, repo_type="dataset", revision=info.sha, local_dir=folder
            )

        return Path(persistently(once, repo, say))

    try:
        manifest = Manifest.read(fetch(manifest_path(split)))
        name = name or manifest.name
        if found := _here(store, name, manifest):
            return found, True
        shards = sorted(p for p in paths if (m := SHARD.fullmatch(p)) and m["split"] == split)
        stage = Stage(manifest.stage, manifest.parameters)
        with Writer(store, stage, name, manifest.kind) as writer:
            writer.received = manifest
            for path in paths:
                if path.startswith(lineage_path(split)):
                    target = writer.folder / LINEAGE_FOLDER / Path(path).name
                    target.parent.mkdir(exist_ok=True)
                    shutil.copyfile(fetch(path), target)
            with ImageStore(store.images) as images:
                for path in shards:
                    shard = fetch(path)
                    say(path)
                    for rows in _rows(shard, images, repo):
                        writer.expect(rows)
                        writer.keep(rows)
                    shard.unlink()
            # Rows that were dropped stayed where they were: only their counts came.
        return writer.dataset, False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _here(store: Store, name: str, manifest: Manifest) -> Dataset | None:
    for version in reversed(store.versions(name)):
        m = version.manifest
        if (m.identity, m.digest) == (manifest.identity, manifest.digest):
            return version
    return None


def _rows(shard: Path, images: ImageStore, repo: str) -> Iterator[pa.Table]:
    """The shard's rows with their images put into the store, and their hashes in the rows."""
    with pq.ParquetFile(shard, buffer_size=1 << 20) as opened:
        place = opened.schema_arrow.get_field_index("images")
        for group in range(opened.num_row_groups):  # one after the other: they were cut for this
            table = opened.read_row_group(group)
            hashes = [
                [_add(images, cell, repo) for cell in cells]
                for cells in table.column("images").to_pylist()
            ]
            yield table.set_column(place, "images", pa.array(hashes, pa.list_(pa.string())))


def _add(images: ImageStore, cell: dict[str, Any], repo: str) -> str:
    """Keep the image; it must be the one that its name says."""
    sha256 = str(cell["path"]).split(".")[0]
    try:
        added = images.add(cell["bytes"])
    except BadImage as error:
        raise UserError(f"{repo!r} holds a broken image ({sha256}: {error.reason})") from None
    if added != sha256:
        raise UserError(f"{repo!r} holds another image under the name {sha256}")
    return added
