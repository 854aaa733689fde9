"""Pushes a model directory or a checkpoint to the Hub, with a model card from its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlt.datagen.hub.calls import Say, check_repo, open_repo, persistently
from vlt.datagen.hub.model_card import model_card
from vlt.datagen.hub.push import manifests
from vlt.workspace.digest import model_files
from vlt.workspace.store import Dataset, Store

LEFT_HERE = ("optimizer", "scheduler", "rng_state", "training_args", "global_step", ".")
"""Prefixes of files that a trainer keeps for resuming, which are not part of the model."""


def push_model(
    store: Store,
    folder: Path,
    repo: str,
    *,
    checkpoint: Dataset | None = None,
    private: bool = False,
    license: str | None = None,
    say: Say = lambda _: None,
) -> str:
    """Push a model's files and return the URL of the commit.

    `checkpoint` is the version whose folder it is, which the card then describes. What arrived before a
    lost connection is not sent again. Raises UserError if the folder is not a model.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from rich.filesize import decimal

    check_repo(repo)
    model_files(folder)  # raises if it is not a model
    api = HfApi()
    open_repo(api, repo, "model", private=private, say=say)
    operations = []
    for file in sorted(folder.iterdir()):
        if not file.is_file() or file.name.startswith(LEFT_HERE) or file.name == "manifest.json":
            continue
        if file.name == "README.md":
            continue
        add = CommitOperationAdd(file.name, str(file))

        def send(add: Any = add) -> None:
            api.preupload_lfs_files(repo, [add])

        persistently(send, repo, say)
        say(f"{file.name} ({decimal(file.stat().st_size)})")
        operations.append(add)
    texts = {"README.md": model_card(store, folder, repo, checkpoint, license).encode()}
    if checkpoint:
        texts |= manifests(store, checkpoint, "model")
    operations += [CommitOperationAdd(path, data) for path, data in texts.items()]
    message = checkpoint.ref if checkpoint else folder.name
    commit = persistently(
        lambda: api.create_commit(repo, operations, commit_message=f"{message} with vlt"), repo, say
    )
    return str(commit.commit_url)
