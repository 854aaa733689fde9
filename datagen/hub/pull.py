"""Pulls from the Hub what `vlt push` sent: rows, images, manifest and lineage.

pull_dataset(store, "user/repo")
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.datagen.hub.calls import Say, check_repo, persistently
from vlt.datagen.hub.dropped import check_conserved, dropped_path, take_dropped
from vlt.datagen.hub.push import SHARD, lineage_path, manifest_path
from vlt.errors import UserError
from vlt.images.decode import open_image
from vlt.images.pool import ImagePool
from vlt.images.store import BadImage, ImageStore
from vlt.workspace.lineage import LINEAGE as LINEAGE_FOLDER
from vlt.workspace.manifest import Manifest, Stage
from vlt.workspace.store import Dataset, Store, fresh_folder
from vlt.workspace.writer import Writer


def pull_dataset(
    store: Store,
    repo: str,
    *,
    name: str | None = None,
    revision: str | None = None,
    split: str = "train",
    say: Say = lambda _: None,
) -> tuple[Dataset, bool]:
    """(the version, whether it existed already). Raises UserError for what vlt did not push."""
    from huggingface_hub import HfApi

    check_repo(repo)
    api = HfApi()
    info = persistently(lambda: api.dataset_info(repo, revision=revision), repo, say, first=True)
    paths = [sibling.rfilename for sibling in info.siblings or []]
    if manifest_path(split) not in paths:
        raise UserError(
            f"{repo!r} has no split {split!r} pushed by vlt; import its rows with `vlt import {repo}`"
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
                    target = writer.provenance / LINEAGE_FOLDER / Path(path).name
                    target.parent.mkdir(exist_ok=True)
                    shutil.copyfile(fetch(path), target)
            beside = sorted(p for p in paths if Path(p).suffix == ".parquet")
            taken_out = [p for p in beside if p.startswith(dropped_path(split, "dropped-"))]
            with ImageStore(store.images_folder) as images, ImagePool() as pool:
                # First, since the data has the transparent ones among them on white.
                for path in (p for p in beside if p.startswith(dropped_path(split, "images-"))):
                    _take_pictures(fetch(path), images, pool, repo)
                    say(path)
                for path in shards:
                    shard = fetch(path)
                    say(path)
                    for rows in _rows(shard, images, pool, repo):
                        writer.expect(rows)
                        writer.keep(rows)
                    shard.unlink()
            for path in taken_out:
                take_dropped(writer, fetch(path))
                say(path)
            if taken_out or not (manifest.dropped or manifest.failed):
                check_conserved(writer, repo)
            else:  # pushed by a version of vlt that did not push dropped rows
                say(f"the dropped rows of {manifest.ref} are not in {repo!r}")
        return writer.dataset, False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _here(store: Store, name: str, manifest: Manifest) -> Dataset | None:
    for version in reversed(store.versions(name)):
        m = version.manifest
        if (m.identity, m.digest) == (manifest.identity, manifest.digest):
            return version
    return None


def _rows(shard: Path, images: ImageStore, pool: ImagePool, repo: str) -> Iterator[pa.Table]:
    """The shard's rows with hashes in place of their images, which are added to the store."""
    with pq.ParquetFile(shard, buffer_size=1 << 20) as opened:
        place = opened.schema_arrow.get_field_index("images")
        for group in range(opened.num_row_groups):  # one by one: their size bounds the memory use
            table = opened.read_row_group(group)
            rows = table.column("images").to_pylist()
            _add([cell for cells in rows for cell in cells], images, pool, repo)
            hashes = pa.array([list(map(_name, cells)) for cells in rows], pa.list_(pa.string()))
            yield table.set_column(place, "images", hashes)


def _take_pictures(shard: Path, images: ImageStore, pool: ImagePool, repo: str) -> None:
    """Add the images that only dropped rows have to the store."""
    with pq.ParquetFile(shard, buffer_size=1 << 20) as opened:
        for group in range(opened.num_row_groups):
            cells = opened.read_row_group(group, columns=["image"])["image"].to_pylist()
            _add(cells, images, pool, repo)
    shard.unlink()


def _add(cells: list[dict[str, Any]], images: ImageStore, pool: ImagePool, repo: str) -> None:
    """Add the images that are new; each must match its name (its sha256), or be that image on white."""
    new: dict[str, bytes] = {}
    for cell in cells:
        name = _name(cell)
        sha256 = hashlib.sha256(cell["bytes"]).hexdigest()
        if sha256 != name and not (name in images and _shows(cell["bytes"], images.read(name))):
            raise UserError(f"{repo!r} has a different image under the name {name}; push it again")
        if name not in images:
            new[name] = cell["bytes"]
    for sha256, image in zip(new, pool.inspect_all(list(new.items())), strict=True):
        if isinstance(image, BadImage):
            raise UserError(
                f"{repo!r} has a broken image ({sha256}: {image.reason}); push it again"
            )
        if image.converted:
            raise UserError(
                f"{repo!r} has an image that vlt cannot have pushed ({sha256}); push it again"
            )
        images.add_new(image)


def _shows(flat: bytes, transparent: bytes) -> bool:
    """Whether the first is the second on white, by pixels, since encoders differ."""
    try:
        return bool(open_image(flat) == open_image(transparent))
    except (OSError, ValueError, SyntaxError):
        return False


def _name(cell: dict[str, Any]) -> str:
    return str(cell["path"]).split(".")[0]
