"""Pushes a version to the Hub as Parquet shards with a card, its manifest and its lineage.

    push_dataset(store, store.open("sft"), "user/repo", private=True)

In the repository: `data/train-*.parquet` (with embedded images, so that `datasets.load_dataset("user/repo")`
and the viewer show them), `README.md` (the card), and under `vlt/train/`: `manifest.json`, `lineage/*.json`
(the manifests of all ancestors), the dropped rows (see dropped.py) and the card's figures. One commit
publishes everything at once. Shards are the same at every try, so what arrived before a lost connection
is not sent again.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vlt.datagen.export.files import parquet_shards, with_rows
from vlt.datagen.hub.calls import Say, check_repo, open_repo, persistently
from vlt.datagen.hub.card import dataset_card
from vlt.datagen.hub.card_plots import figures
from vlt.datagen.hub.dropped import dropped_path, picture_shards
from vlt.errors import UsageError, UserError
from vlt.images.store import ImageStore
from vlt.workspace.lineage import made_from
from vlt.workspace.manifest import Manifest
from vlt.workspace.store import Dataset, Store, fresh_folder

SHARD = re.compile(r"data/(?P<split>[\w.-]+)-\d{5}-of-\d{5}\.parquet")


def push_dataset(
    store: Store,
    dataset: Dataset,
    repo: str,
    *,
    private: bool = False,
    split: str = "train",
    license: str | None = None,
    statistics: Mapping[str, Any] | None = None,
    say: Say = lambda _: None,
) -> str:
    """Push a version and return the URL of its commit. Raises UserError if the Hub refuses.

    `statistics` are those of `vlt stats` (filters.stats.dataset_stats), for the card's figures.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    check_repo(repo)
    with_rows(dataset)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", split):
        raise UsageError(
            f"--split {split!r} is not a valid name; use lower-case letters, digits and _"
        )
    api = HfApi()
    open_repo(api, repo, "dataset", private=private, say=say)
    there = set(persistently(lambda: api.list_repo_files(repo, repo_type="dataset"), repo, say))
    others = sorted({m["split"] for path in there if (m := SHARD.fullmatch(path))} - {split})
    _check_kinds(api, dataset, repo, others, there, say)
    folder = fresh_folder(store.root / ".push" / dataset.manifest.digest[:16])
    operations: list[Any] = []
    try:
        with ImageStore(store.images_folder, read_only=True) as images:
            changed: set[str] = set()
            for shard in parquet_shards(dataset, images, folder, split=split, changed=changed):
                operations.append(_sent(api, repo, f"data/{shard.name}", shard, say))
            for file in dataset.dropped.files:
                path = dropped_path(split, file.name)
                operations.append(_sent(api, repo, path, file, say, keep=True))
            for shard in picture_shards(dataset, images, folder, changed):
                operations.append(_sent(api, repo, dropped_path(split, shard.name), shard, say))
            drawn = figures(statistics or {})
            card = dataset_card(
                store,
                dataset,
                images,
                repo=repo,
                split=split,
                others=others,
                license=license,
                drawn={f"vlt/{split}/{name}": shown for name, (_, shown) in drawn.items()},
            )
        texts = {"README.md": card.encode(), **manifests(store, dataset, split)}
        texts |= {f"vlt/{split}/{name}": png for name, (png, _) in drawn.items()}
        operations += [CommitOperationAdd(path, data) for path, data in texts.items()]
        kept = {operation.path_in_repo for operation in operations}
        stale = {path for path in there - kept if _of_split(path, split)}
        operations += [CommitOperationDelete(path) for path in sorted(stale)]
        message = f"{dataset.ref} ({dataset.manifest.digest[:12]})"
        commit = persistently(
            lambda: api.create_commit(
                repo, operations, repo_type="dataset", commit_message=message
            ),
            repo,
            say,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return str(commit.commit_url)


def _check_kinds(
    api: Any, dataset: Dataset, repo: str, others: list[str], there: set[str], say: Say
) -> None:
    """Raises UserError if the other splits have rows of another kind: `load_dataset` requires the same
    columns in all, and could load none of them."""
    for split in others:
        kind = "rows that vlt did not push"
        if (path := manifest_path(split)) in there:

            def fetch(path: str = path) -> str:
                found: str = api.hf_hub_download(repo, path, repo_type="dataset")
                return found

            held = Manifest.read(Path(persistently(fetch, repo, say)))
            if held.kind == dataset.kind:
                continue
            kind = f"{held.kind}s ({held.ref})"
        raise UserError(
            f"the split {split!r} of {repo!r} holds {kind}, but {dataset.ref} holds {dataset.kind}s: "
            "together they could not be loaded, so nothing was sent; push to another repository"
        )


def _sent(api: Any, repo: str, path: str, file: Path, say: Say, *, keep: bool = False) -> Any:
    """The operation that commits a file, which is uploaded now and then deleted, unless `keep`."""
    from huggingface_hub import CommitOperationAdd
    from rich.filesize import decimal

    add = CommitOperationAdd(path, str(file))
    persistently(lambda: api.preupload_lfs_files(repo, [add], repo_type="dataset"), repo, say)
    say(f"{file.name} ({decimal(file.stat().st_size)})")
    if add._is_uploaded and not keep:  # small files are sent with the commit
        file.unlink()
    return add


def manifests(store: Store, dataset: Dataset, folder: str) -> dict[str, bytes]:
    """The version's manifest and those of all its ancestors, under vlt/<folder>/."""
    found = {manifest_path(folder): _as_json(dataset)}
    for ancestor in made_from(store, dataset):
        found[f"{lineage_path(folder)}{ancestor.ref}.json"] = _as_json(ancestor)
    return found


def manifest_path(folder: str) -> str:
    """The path of a split's manifest in a repository."""
    return f"vlt/{folder}/manifest.json"


def lineage_path(folder: str) -> str:
    """The folder with the manifests of its ancestors."""
    return f"vlt/{folder}/lineage/"


def _of_split(path: str, split: str) -> bool:
    shard = SHARD.fullmatch(path)
    return path.startswith(f"vlt/{split}/") or (shard is not None and shard["split"] == split)


def _as_json(dataset: Dataset) -> bytes:
    return (json.dumps(asdict(dataset.manifest), indent=1, ensure_ascii=False) + "\n").encode()
