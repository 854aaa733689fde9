"""To the Hub and back: a version as Parquet shards with a card, its manifest and its lineage.

    push_dataset(store, store.open("sft"), "user/repo", private=True)

In the repository: `data/train-*.parquet` (images inside, so `datasets.load_dataset("user/repo")` and
the viewer show them), `README.md` (the card), `vlt/manifest.json` and `vlt/lineage/*.json` (the
manifests of all that the version was made from). One commit makes all of it visible at once. Shards
are the same at every try, so what had arrived before a connection broke is not sent again.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from typing import Any

from datagen.card import dataset_card, lineage
from datagen.export import parquet_shards, with_rows
from datagen.hub_calls import Say, check_repo, persistently
from vlt.images import ImageStore
from vlt.store import Dataset, Store, fresh_folder

MANIFEST, LINEAGE = "vlt/manifest.json", "vlt/lineage/"


def push_dataset(
    store: Store,
    dataset: Dataset,
    repo: str,
    *,
    private: bool = False,
    split: str = "train",
    license: str | None = None,
    say: Say = lambda _: None,
) -> str:
    """Push a version and return the URL of its commit. Raises UserError where the Hub refuses."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    check_repo(repo)
    with_rows(dataset)
    api = HfApi()
    persistently(
        lambda: api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True),
        repo,
        say,
    )
    there = set(persistently(lambda: api.list_repo_files(repo, repo_type="dataset"), repo, say))
    folder = fresh_folder(store.root / ".push" / dataset.manifest.digest[:16])
    operations: list[Any] = []
    try:
        with ImageStore(store.images) as images:
            for shard in parquet_shards(dataset, images, folder, split=split):
                add = CommitOperationAdd(f"data/{shard.name}", str(shard))
                _send(api, repo, add, say)
                operations.append(add)
                say(f"{shard.name} ({shard.stat().st_size / 1e6:,.0f} MB)")
                if add._is_uploaded:  # what stays small is sent with the commit
                    shard.unlink()
            card = dataset_card(store, dataset, images, repo=repo, split=split, license=license)
        texts = {"README.md": card.encode(), **manifests(store, dataset)}
        operations += [CommitOperationAdd(path, data) for path, data in texts.items()]
        stale = {
            path
            for path in there
            if path.startswith((f"data/{split}-", LINEAGE))
            and path not in {operation.path_in_repo for operation in operations}
        }
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


def _send(api: Any, repo: str, add: Any, say: Say) -> None:
    def once() -> None:
        api.preupload_lfs_files(repo, [add], repo_type="dataset")

    persistently(once, repo, say)


def manifests(store: Store, dataset: Dataset) -> dict[str, bytes]:
    """The version's manifest and those of all that it was made from."""
    found = {MANIFEST: _as_json(dataset)}
    for ancestor in lineage(store, dataset):
        found[f"{LINEAGE}{ancestor.ref}.json"] = _as_json(ancestor)
    return found


def _as_json(dataset: Dataset) -> bytes:
    return (json.dumps(asdict(dataset.manifest), indent=1, ensure_ascii=False) + "\n").encode()
